"""Tiny random coders as the releases of SAELens' registry lie on the Hub: ``write(release, layout, hub)``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stages.coders.readers import Options
from tests.coders.readers import folders, saelens_folders
from tests.coders.readers.on_disk import D_IN, LATENTS, Draw, Made, read_tensors, write_config, write_tensors
from tests.coders.readers.test_saelens_old import tiny

RELEASES = Path(__file__).with_name("releases.json")
CONFIGS = {
    "gpt2-small-res-jb": "gpt2_small_res_jb",
    "gpt2-small-mlp-tm": "gpt2_small_mlp_tm",
    "llama-3-8b-it-res-jh": "llama_3_8b_it_res_jh",
    "mistral-7b-res-wg": "mistral_7b_res_wg",
    "pythia-70m-deduped": "pythia_70m_att_sm",
    "gemma-2b": "gemma_2b_res_jb",
}
"""Of releases in SAELens' own format that are older than version 6: how their names begin, and a published config with the same keys."""


@dataclass(frozen=True)
class Release:
    """A release of the registry."""

    name: str
    repository: str
    loader: str | None
    layouts: list[dict[str, Any]]
    centred: bool = False
    norm: str | None = None


def releases() -> list[Release]:
    """All of them."""
    found = []
    for entry in json.loads(RELEASES.read_text())["releases"]:
        overrides = entry.get("config_overrides", {})
        centred = overrides.get("model_from_pretrained_kwargs", {}).get("center_writing_weights", False)
        norm = overrides.get("normalize_activations")
        found.append(Release(entry["release"], entry["repo_id"], entry["loader"], entry["layouts"], centred, norm))
    return found


def options(release: Release, layout: dict[str, Any]) -> Options:
    """What ``saelens://`` gives the reader, and what an entry has to say besides."""
    embedding = release.loader == "gemma_2" and layout["path"].startswith("embedding")
    old = "hook_resid_pre" in layout["path"] or "-ajt" in release.name
    return Options(
        norm_factor=D_IN**-0.5 if embedding else None,
        listed_norm_factor=layout.get("norm_scaling_factor"),
        centre=True if release.centred or (old and release.loader is None) else None,
        normalise="constant_norm" if release.norm == "constant_norm_rescale" else None,
    )


def write(release: Release, layout: dict[str, Any], hub: Path) -> Path:
    """Writes a coder below ``hub/repository``; returns where an address of it leads."""
    place = hub / release.repository / layout["path"]
    return WRITERS[release.loader](release, layout, place)


def _saelens(release: Release, layout: dict[str, Any], folder: Path) -> Path:
    if "matryoshka" in release.name:
        config = saelens_folders.config_of("jumprelu")
        saelens_folders.write(folder, config, saelens_folders.tensors_of(config))
        return folder
    if "-v5-" in release.name:
        config = tiny("gpt2_small_oai_v5_resid_mid", activation_fn_kwargs={"k": 4})
    elif "-ajt" in release.name:
        config = tiny("gpt2_small_res_jb", neuronpedia_id=layout.get("neuronpedia"))
    else:
        # Where the registry lists no factor, files that want one could be read by nobody.
        norm = {} if "norm_scaling_factor" in layout else {"normalize_activations": "none"}
        config = tiny(next(name for start, name in CONFIGS.items() if release.name.startswith(start)), **norm)
    kind = "topk" if "-v5-" in release.name else config.get("architecture", "standard")
    saelens_folders.write(folder, config, saelens_folders.tensors_of({**config, "architecture": kind}))
    return folder


def _gemma_2(release: Release, layout: dict[str, Any], folder: Path) -> Path:
    draw = Draw(0)
    arrays = {
        "W_enc": draw(D_IN, LATENTS),
        "W_dec": draw(LATENTS, D_IN),
        "b_enc": draw(LATENTS),
        "b_dec": draw(D_IN),
        "threshold": draw.positive(LATENTS),
    }
    write_tensors(folder / "params.npz", {name: value.float() for name, value in arrays.items()})
    return folder


def _gemma_3(release: Release, layout: dict[str, Any], folder: Path) -> Path:
    draw = Draw(0)
    tensors = {
        "w_enc": draw(D_IN, LATENTS),
        "w_dec": draw(LATENTS, D_IN),
        "b_enc": draw(LATENTS),
        "b_dec": draw(D_IN),
        "threshold": draw.positive(LATENTS),
    }
    if "affine" in folder.name:
        tensors["affine_skip_connection"] = draw(D_IN, D_IN)
    write_tensors(folder / "params.safetensors", tensors)
    return folder


def _dictionary(release: Release, layout: dict[str, Any], folder: Path) -> Path:
    text = f"{release.name} {layout['path']}".lower()
    kind = (
        "MatryoshkaBatchTopKSAE" if "matryoshka" in text or "saebench_gemma-2-2b_width" in release.name
        else "BatchTopKSAE" if "andyrdt" in text
        else "AutoEncoderTopK" if "topk" in text
        else "GatedAutoEncoder" if "gated" in text
        else "AutoEncoder"
    )  # fmt: skip
    folders.dictionary(folder, kind=kind, layer=3, submodule_name="resid_post_layer_3")
    return folder


def _llama_scope(release: Release, layout: dict[str, Any], folder: Path) -> Path:
    site = {"R": "hook_resid_post", "A": "hook_attn_out", "M": "hook_mlp_out"}[folder.name.rpartition("-")[0][-1]]
    norm = D_IN**0.5 / layout.get("norm_scaling_factor", 1.0)
    hook, norms = f"blocks.0.{site}", {"in": norm, "out": norm}
    made = folders.llama_scope(folder, hook_point_in=hook, hook_point_out=hook, dataset_average_activation_norm=norms)
    return _with_unit_decoder(made, {})


def _llama_scope_r1(release: Release, layout: dict[str, Any], folder: Path) -> Path:
    made = folders.llamascopium(folder, names_of_2025=True, expansion_factor=LATENTS // D_IN)
    norm = torch.tensor(D_IN**0.5 / layout.get("norm_scaling_factor", 1.0))
    return _with_unit_decoder(made, {"dataset_average_activation_norm.blocks.9.hook_resid_post": norm})


def _with_unit_decoder(made: Made, more: dict[str, torch.Tensor]) -> Path:
    """Decoders of norm 1, as these were published with."""
    tensors = read_tensors(made.weights) | more
    tensors["decoder.weight"] = tensors["decoder.weight"] / tensors["decoder.weight"].norm(dim=0)
    write_tensors(made.weights, tensors)
    return made.path


def _weights(release: Release, layout: dict[str, Any], file: Path) -> Path:
    """One PyTorch file: a linear encoder with a ReLU."""
    draw = Draw(0)
    if release.loader == "connor_rob_hook_z":
        tensors = {
            "W_enc": draw(D_IN, LATENTS),
            "b_enc": draw(LATENTS),
            "W_dec": draw(LATENTS, D_IN),
            "b_dec": draw(D_IN),
        }
        config = {"act_size": D_IN, "dict_size": LATENTS, "act_name": "blocks.0.attn.hook_z"}
        write_config(file.with_name(f"{file.stem}_cfg.json"), config)
    else:
        enc, dec = ("encoder_linear", "decoder_linear") if release.loader == "goodfire" else ("encoder", "decoder")
        tensors = {
            f"{enc}.weight": draw(LATENTS, D_IN),
            f"{enc}.bias": draw(LATENTS),
            f"{dec}.weight": draw(D_IN, LATENTS),
            f"{dec}.bias": draw(D_IN),
        }
    write_tensors(file, {name: value.float() for name, value in tensors.items()})
    return file


def _qwen(release: Release, layout: dict[str, Any], file: Path) -> Path:
    draw = Draw(0)
    n = 2 * int(release.repository.rpartition("_")[2])  # more latents than fire
    tensors = {"W_enc": draw(n, D_IN), "b_enc": draw(n), "W_dec": draw(D_IN, n), "b_dec": draw(D_IN)}
    write_tensors(file, {name: value.float() for name, value in tensors.items()})
    return file


def _mwhanna(release: Release, layout: dict[str, Any], file: Path) -> Path:
    draw = Draw(0)
    tensors = {"W_enc": draw(LATENTS, D_IN), "b_enc": draw(LATENTS), "W_dec": draw(LATENTS, D_IN), "b_dec": draw(D_IN)}
    write_tensors(file, {name: value.float() for name, value in tensors.items()})
    saved = {"d_model": {"value": D_IN}, "d_feature": {"value": LATENTS}, "batch_size": {"value": 8}}
    write_config(file.with_name("wandb-config.yaml"), saved)
    write_config(file.with_name("config.yaml"), {"model_name": "Qwen/Qwen3-4B"})
    return file


def _clt(release: Release, layout: dict[str, Any], place: Path) -> Path:
    draw, layer, folder = Draw(0), place.name, place.parent
    tensors = {f"W_enc_{layer}": draw(LATENTS, D_IN), f"b_enc_{layer}": draw(LATENTS), f"b_dec_{layer}": draw(D_IN)}
    write_tensors(folder / f"W_enc_{layer}.safetensors", {name: value.float() for name, value in tensors.items()})
    decoders = draw(LATENTS, 26 - int(layer), D_IN).float()
    write_tensors(folder / f"W_dec_{layer}.safetensors", {f"W_dec_{layer}": decoders})
    hooks = {"feature_input_hook": "hook_resid_mid", "feature_output_hook": "hook_mlp_out"}
    write_config(
        folder / "config.yaml", {"model_name": "google/gemma-2-2b", "model_kind": "cross_layer_transcoder", **hooks}
    )
    return folder / f"W_enc_{layer}.safetensors"


def _temporal(release: Release, layout: dict[str, Any], folder: Path) -> Path:
    write_config(folder / "conf.yaml", {"llm": {"dimin": D_IN}, "sae": {"exp_factor": 2}})
    write_tensors(folder / "latest_ckpt.safetensors", {"D": torch.ones(LATENTS, D_IN), "b": torch.ones(D_IN)})
    return folder


WRITERS = {
    None: _saelens,
    "gemma_2": _gemma_2,
    "gemma_2_transcoder": _gemma_2,
    "gemma_3": _gemma_3,
    "dictionary_learning_1": _dictionary,
    "llama_scope": _llama_scope,
    "llama_scope_r1_distill": _llama_scope_r1,
    "connor_rob_hook_z": _weights,
    "goodfire": _weights,
    "deepseek_r1": _weights,
    "qwen_scope": _qwen,
    "mwhanna_transcoder": _mwhanna,
    "mntss_clt_layer_transcoder": _clt,
    "temporal": _temporal,
}
