"""Gemma Scope 2's coders of Gemma 3: ``config.json`` and ``params.safetensors``.

Of a cross-layer transcoder, ``params_layer_{N}.safetensors`` for every layer, the encoder of one is read: its latents can be explained, but they
write to many layers, so it has no decoder here.

Where there is no config.json, what a coder reads is told by its folders, such as ``resid_post/layer_17_width_16k_l0_big``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stages.coders.activations import JumpRelu
from stages.coders.readers import Options, files
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError

CONFIG = "config.json"
WEIGHTS = "params.safetensors"
LAYER = re.compile(r"params_layer_(\d{1,4})\.safetensors")
SKIP = "affine_skip_connection"
ARCHITECTURE = "jump_relu"
PUBLISHED = re.compile(r"(?:.*/)?(resid_post|attn_out|mlp_out|transcoder)(?:_all)?/layer_(\d+)_width_[^/]+")
SITES = {
    "resid_post": "model.layers.{}.output",
    "attn_out": "model.layers.{}.self_attn.o_proj.input",
    "mlp_out": "model.layers.{}.post_feedforward_layernorm.output",
    "transcoder": "model.layers.{}.pre_feedforward_layernorm.output",
}
TARGETS = {"transcoder": "model.layers.{}.post_feedforward_layernorm.output"}
"""What they reconstruct, where that is not what they read."""


def detect(path: Path) -> bool:
    """Whether ``path`` is a folder in this format, or the file of a layer of a coder of several."""
    if path.is_file():
        return LAYER.fullmatch(path.name) is not None
    return (path / WEIGHTS).is_file() or bool(_layers(path))


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the coder in float32; see ``_of_one_layer`` and ``_of_a_cross_layer``.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or the coder reads several layers.
    """
    if path.is_dir() and (path / WEIGHTS).is_file():
        return _of_one_layer(path, options)
    layers = [path] if path.is_file() else _layers(path)
    config = files.read_json(layers[0].with_name(CONFIG)) if layers[0].with_name(CONFIG).is_file() else {}
    place = layers[0].absolute().as_posix()
    kind = files.text(config, "type") or next((name for name in ("crosscoder", "clt") if f"/{name}/" in place), None)
    if kind == "crosscoder":
        raise GlossaError(
            f"the coder in {path} is a crosscoder, whose latents read several layers at once, which can't be hooked; use one of one layer"
        )
    if kind != "clt":
        raise GlossaError(
            f"the coder in {path} is of several layers ({layers[0].name}), but neither type in a {CONFIG} beside it nor a folder around it "
            "says clt or crosscoder; fetch its config too"
        )
    if len(layers) > 1:
        names = files.shown(", ".join(file.name for file in layers))
        raise GlossaError(f"expected the encoder of one layer, found {len(layers)} in {path}; point at one of {names}")
    return _of_a_cross_layer(layers[0], config, options)


def _layers(folder: Path) -> list[Path]:
    found = [file for file in folder.glob("params_layer_*.safetensors") if LAYER.fullmatch(file.name)]
    return sorted(found, key=lambda file: (len(file.name), file.name))


def _of_a_cross_layer(weights: Path, config: Mapping[str, Any], options: Options) -> SparseCoder:
    """The encoder of one layer of a cross-layer transcoder, as SAELens reads it.

    Its config says ``hf_hook_point_in`` with ``{}`` for the layer.
    """
    match = LAYER.fullmatch(weights.name)
    assert match is not None  # as every file found here
    options.refuse_norm_factor(weights)
    input_norm = options.input_norm("none", weights)
    tensors = files.read_safetensors(weights)
    files.only(tensors, ("w_enc", "w_dec", "b_enc", "b_dec", "threshold", SKIP), weights)
    W_enc = files.matrix(tensors, "w_enc", weights).T.contiguous()  # noqa: N806
    n, d_in = W_enc.shape
    written = files.take(tensors, "w_dec", None, weights)
    if written.ndim != 3 or len(written) != n:
        raise GlossaError(
            f"expected w_dec of shape [{n}, layers, width] in {weights}, found {list(written.shape)}; are all its files of one coder?"
        )
    if SKIP in tensors:
        files.take(tensors, SKIP, (d_in, written.shape[2]), weights)
    site = files.text(config, "hf_hook_point_in") or SITES["transcoder"]
    facts = {"format": "gemma_scope_2", "cross_layer": True, "input_norm": input_norm}
    return SparseCoder(
        W_enc=W_enc,
        b_enc=files.take(tensors, "b_enc", (n,), weights),
        W_dec=None,
        b_dec=files.take(tensors, "b_dec", (written.shape[2],), weights),
        b_pre=torch.zeros(d_in),
        activation=JumpRelu(files.take(tensors, "threshold", (n,), weights)),
        source=str(weights),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        hookpoint=site.replace("{}", str(int(match[1]))),
        published_l0=files.real(config, "l0", weights.with_name(CONFIG)) if config.get("l0") is not None else None,
    )


def _of_one_layer(folder: Path, options: Options) -> SparseCoder:
    """Reads the coder in float32: JumpReLU of ``x w_enc + b_enc``, from which no decoder bias was subtracted.

    The affine skip connection of a transcoder lies as [d_in, d_out]. A transcoder reads the output of the norm before the
    MLP, with its gain, as its config says.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or the coder is of several layers.
    """
    path, weights = folder / CONFIG, folder / WEIGHTS
    config = files.read_json(path) if path.is_file() else {"architecture": ARCHITECTURE}
    if config.get("architecture") != ARCHITECTURE:
        found = files.shown(config.get("architecture"))
        raise GlossaError(f"expected the architecture {ARCHITECTURE} in {path}, found {found}; no other can be read")
    options.refuse_norm_factor(folder)
    input_norm = options.input_norm("none", folder)
    hookpoint = files.text(config, "hf_hook_point_in") or _hookpoint(folder, SITES)
    target = files.text(config, "hf_hook_point_out") or _hookpoint(folder, SITES | TARGETS)
    if config.get("type") in ("clt", "crosscoder") or "{" in (hookpoint or ""):
        raise GlossaError(
            f"the coder in {folder} reads or writes several layers, which can't be hooked; use one of one layer"
        )

    tensors = files.read_safetensors(weights)
    files.only(tensors, ("w_enc", "w_dec", "b_enc", "b_dec", "threshold", SKIP), weights)
    W_enc = files.matrix(tensors, "w_enc", weights).T.contiguous()  # noqa: N806
    n, d_in = W_enc.shape
    if "width" in config and (width := files.whole(config, "width", path)) != n:
        raise GlossaError(
            f"expected the {width} latents that {path} says in {weights}, found {n}; fetch the coder again"
        )
    d_out = files.matrix(tensors, "w_dec", weights).shape[1]
    skip = files.take(tensors, SKIP, (d_in, d_out), weights) if _has_skip(config, tensors, folder) else None
    return SparseCoder(
        W_enc=W_enc,
        b_enc=files.take(tensors, "b_enc", (n,), weights),
        W_dec=files.take(tensors, "w_dec", (n, d_out), weights),
        b_dec=files.take(tensors, "b_dec", (d_out,), weights),
        b_pre=torch.zeros(d_in),
        activation=JumpRelu(files.take(tensors, "threshold", (n,), weights)),
        source=str(folder),
        identity=files.identity({"format": "gemma_scope_2", "input_norm": input_norm}, weights),
        W_skip=None if skip is None else skip.T.contiguous(),
        input_norm=input_norm,
        hookpoint=hookpoint,
        reconstructs=None if target == hookpoint else target,
        published_l0=files.real(config, "l0", path) if config.get("l0") is not None else None,
    )


def _hookpoint(folder: Path, sites: Mapping[str, str]) -> str | None:
    found = PUBLISHED.fullmatch(folder.absolute().as_posix())
    return sites[found[1]].format(found[2]) if found else None


def _has_skip(config: Mapping[str, Any], tensors: Mapping[str, Any], folder: Path) -> bool:
    """Whether there is an affine skip connection, on which config and weights have to agree."""
    found = SKIP in tensors
    said = files.flag(config, "affine_connection", folder / CONFIG, default=found)
    if said != found:
        raise GlossaError(
            f"expected {SKIP} in {folder / WEIGHTS} exactly if affine_connection in {CONFIG} is true, found it "
            f"{str(said).lower()} and {'one' if found else 'none'}; fetch the coder again"
        )
    return found
