"""Sparse coders as SAELens before version 6 saved them: the same files, with all of ``cfg.json`` on one level."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.coders.readers import Options, files
from stages.coders.readers.saelens import CONFIG, build, major_version, present
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError

RENAMED = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index"}
METADATA = (
    "model_name",
    "hook_name",
    "hook_head_index",
    "neuronpedia_id",
    "prepend_bos",
    "sae_lens_training_version",
    "hook_point",
)
MISTRAL_HOOKS = re.compile(r"blocks\.(8|16|24)\.hook_resid_pre")
MISTRAL_REPOSITORY = "Mistral-7B-Residual-Stream-SAEs"


def detect(folder: Path) -> bool:
    """Whether ``folder`` is in this format."""
    return present(folder) and major_version(folder) in range(6)


def read(folder: Path, options: Options) -> SparseCoder:
    """Reads the coder in float32; see ``saelens.build``.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or the coder can't be read faithfully.
    """
    config = files.read_json(folder / CONFIG)
    return build(_modern(config, folder / CONFIG, options), folder, options, "saelens_old")


def _modern(config: Mapping[str, Any], path: Path, options: Options) -> dict[str, Any]:
    """The config as SAELens 6 would write it."""
    old = {RENAMED.get(name, name): value for name, value in config.items()}
    metadata = {name: source[name] for name in METADATA for source in (config, old) if name in source}
    arguments = old.get("model_from_pretrained_kwargs")
    if isinstance(arguments, dict):
        metadata["model_from_pretrained_kwargs"] = arguments

    new = {**old, "metadata": metadata, "architecture": _architecture(old, path)}
    normalisation = old.get("normalize_activations")
    if isinstance(normalisation, bool):
        new["normalize_activations"] = "expected_average_only_in" if normalisation else "none"
    if options.normalise is None and _like_mistral(old):
        # Their authors normalised every input to the norm √d_in outside SAELens, which the file can't say.
        if MISTRAL_REPOSITORY not in path.absolute().as_posix():
            raise GlossaError(
                f"the coder in {path.parent} has the layer, the width and the config of those of Mistral 7B in "
                f"JoshEngels/{MISTRAL_REPOSITORY}, whose inputs were normalised although it says none; say in params.yaml "
                "normalise: constant_norm if it is one of these, or normalise: none if it is not"
            )
        new["normalize_activations"] = "constant_norm_rescale"
    function_arguments = old.get("activation_fn_kwargs")
    if isinstance(function_arguments, dict):
        new.setdefault("k", function_arguments.get("k"))
    return new


def _architecture(old: Mapping[str, Any], path: Path) -> Any:
    """The architecture, which the activation function decides where it is topk; others than ReLU are not known."""
    architecture = "standard" if old.get("architecture") is None else old["architecture"]
    function = files.text(old, "activation_fn_str") or files.text(old, "activation_fn") or "relu"
    if function == "topk" and architecture == "standard":
        return "topk"
    if function not in ("relu", architecture):
        raise GlossaError(
            f"expected the activation function relu, or topk of the architecture standard, in {path}, found "
            f"{files.shown(function)} of {files.shown(architecture)}; no other can be read"
        )
    return architecture


def _like_mistral(old: Mapping[str, Any]) -> bool:
    """Whether its config could be that of the three coders of Mistral 7B by Engels and others (2024), mistral-7b-res-wg in SAELens."""
    return (
        old.get("model_name") == "mistral-7b"
        and bool(MISTRAL_HOOKS.fullmatch(str(old.get("hook_name"))))
        and old.get("d_sae") == 65536
        and old.get("normalize_activations") in (None, False, "none")
        and files.text(old, "sae_lens_training_version") is None
    )
