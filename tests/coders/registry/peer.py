"""What sae-lens itself makes of a coder of its registry that ``layouts`` has written: its downloads are replaced by the files at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

from tests.coders.readers.on_disk import D_IN, LATENTS
from tests.coders.registry.layouts import Release


def theirs(loaders: Any, release: Release, layout: dict[str, Any], hub: Path) -> Any:
    """Returns its coder; ``loaders`` is its module of that name."""
    from sae_lens import SAE

    class Missing(loaders.EntryNotFoundError):
        def __init__(self) -> None:
            Exception.__init__(self)

    def download(repo_id: str, filename: str, subfolder: str | None = None, **more: Any) -> str:
        path = hub / repo_id / (subfolder or "") / filename
        if not path.exists():
            raise Missing
        return str(path)

    def shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
        tensors = loaders.load_safetensors_weights(download(repo_id, filename))
        return {name: list(value.shape) for name, value in tensors.items()}

    load = loaders.NAMED_PRETRAINED_SAE_LOADERS[release.loader or "sae_lens"]
    overrides: dict[str, Any] = {} if release.norm is None else {"normalize_activations": release.norm}
    if release.loader in (
        "gemma_2",
        "gemma_2_transcoder",
        "goodfire",
        "deepseek_r1",
        "connor_rob_hook_z",
        "qwen_scope",
    ):
        n = 2 * int(release.repository.rpartition("_")[2]) if release.loader == "qwen_scope" else LATENTS
        overrides |= {"d_in": D_IN, "d_sae": n, "dtype": "float32"}  # which it knows by the names of what is published
    if release.loader == "llama_scope":
        overrides["dtype"] = "float32"  # it computes in bfloat16, whose rounding decides what fires
    if release.loader == "gemma_2_transcoder":
        overrides["d_out"] = D_IN
    with (
        mock.patch.object(loaders, "hf_hub_download", download),
        mock.patch.object(loaders, "get_safetensors_tensor_shapes", shapes),
    ):
        config, tensors, _ = load(release.repository, layout["path"], "cpu", False, overrides)
    config = {**loaders.handle_config_defaulting(config), "reshape_activations": "none"}  # its heads are split
    coder = SAE.from_dict(config)
    coder.process_state_dict_for_loading(tensors)
    coder.load_state_dict(tensors)
    if coder.cfg.normalize_activations == "expected_average_only_in" and "norm_scaling_factor" in layout:
        coder.fold_activation_norm_scaling_factor(layout["norm_scaling_factor"])
    return coder
