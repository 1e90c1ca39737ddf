"""Gemma Scope 2's coders of Gemma 3: ``config.json`` and ``params.safetensors``.

Of a cross-layer transcoder or a crosscoder, ``params_layer_{N}.safetensors`` for every layer, one layer is read: the latents that read
it, and what they write to each of the layers.

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
from stages.coders.writes import Write
from stages.errors import GlossaError

CONFIG = "config.json"
WEIGHTS = "params.safetensors"
LAYER = re.compile(r"params_layer_(\d{1,4})\.safetensors")
KINDS = ("crosscoder", "clt")
"""Of coders of several layers; also what the folders around them are called."""
CROSSCODER = re.compile(r"layer_(\d{1,4}(?:_\d{1,4})+)_width_")
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
    """Reads the coder in float32; see ``_of_one_layer`` and ``_of_several_layers``.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or it is of several layers.
    """
    if path.is_dir() and (path / WEIGHTS).is_file():
        return _of_one_layer(path, options)
    layers = [path] if path.is_file() else _layers(path)
    where = layers[0].with_name(CONFIG)
    config = files.read_json(where) if where.is_file() else {}
    _check_architecture({"architecture": ARCHITECTURE, **config}, where)
    place = layers[0].absolute().as_posix()
    kind = files.text(config, "type") or next((name for name in KINDS if f"/{name}/" in place), None)
    if kind not in KINDS:
        raise GlossaError(
            f"the coder in {path} is of several layers ({layers[0].name}), but neither type in a {CONFIG} beside it nor a folder around it "
            "says clt or crosscoder; fetch its config too"
        )
    if len(layers) > 1:
        names = files.shown(", ".join(file.name for file in layers))
        raise GlossaError(f"expected the encoder of one layer, found {len(layers)} in {path}; point at one of {names}")
    return _of_several_layers(layers[0], config, kind, options)


def _layers(folder: Path) -> list[Path]:
    found = [file for file in folder.glob("params_layer_*.safetensors") if LAYER.fullmatch(file.name)]
    return sorted(found, key=lambda file: (len(file.name), file.name))


def _of_several_layers(weights: Path, config: Mapping[str, Any], kind: str, options: Options) -> SparseCoder:
    """The latents that read one layer, of a cross-layer transcoder or a weakly causal crosscoder: ``relu`` where ``h > threshold``.

    In both every layer has an encoder of its own, and w_dec lies as [latents, layers, width]. Those of a cross-layer transcoder write
    to their own layer and all later ones, as circuit-tracer has it; those of a crosscoder to all of its layers, which the name of its
    folder lists. What is at a layer is written by the latents of several, so nothing is decoded. ``l0`` of the config is of all layers.
    """
    match = LAYER.fullmatch(weights.name)
    assert match is not None  # as every file found here
    own = int(match[1])
    options.refuse_norm_factor(weights)
    input_norm = options.input_norm("none", weights)
    tensors = files.read_safetensors(weights)
    files.only(tensors, ("w_enc", "w_dec", "b_enc", "b_dec", "threshold", SKIP), weights)
    W_enc = files.matrix(tensors, "w_enc", weights).T.contiguous()  # noqa: N806
    n, d_in = W_enc.shape
    shape = tuple(files.take(tensors, "w_dec", None, weights).shape)
    if len(shape) != 3 or shape[0] != n or own >= shape[1]:
        raise GlossaError(
            f"expected w_dec of shape [{n}, layers, width] in {weights}, found {list(shape)}; are all its files of one coder?"
        )
    if SKIP in tensors:
        files.take(tensors, SKIP, (d_in, shape[2]), weights)
    numbers = list(range(shape[1])) if kind == "clt" else _numbers(weights, config, shape[1])
    site_in, site_out = _templates(config, kind)
    writes = tuple(
        Write(site_out.replace("{}", str(numbers[at])), weights, "w_dec", at, axis=1)
        for at in range(own if kind == "clt" else 0, shape[1])
    )
    facts = {"format": "gemma_scope_2", "of_several_layers": kind, "input_norm": input_norm}
    return SparseCoder(
        W_enc=W_enc,
        b_enc=files.take(tensors, "b_enc", (n,), weights),
        W_dec=None,
        b_dec=files.take(tensors, "b_dec", (shape[2],), weights),
        b_pre=torch.zeros(d_in),
        activation=JumpRelu(files.take(tensors, "threshold", (n,), weights)),
        source=str(weights),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        hookpoint=site_in.replace("{}", str(numbers[own])),
        writes=writes,
    )


def _templates(config: Mapping[str, Any], kind: str) -> tuple[str, str]:
    """Where latents read and write, with ``{}`` for the layer."""
    site = "transcoder" if kind == "clt" else "resid_post"
    usual = (SITES[site], (SITES | TARGETS)[site])
    said = (files.text(config, "hf_hook_point_in"), files.text(config, "hf_hook_point_out"))
    # Some configs list the layers inside the braces.
    found = [re.sub(r"\{[\d,]*\}", "{}", text or "") for text in said]
    return tuple(text if "{}" in text else other for text, other in zip(found, usual, strict=True))  # type: ignore[return-value]


def _numbers(weights: Path, config: Mapping[str, Any], n: int) -> list[int]:
    """The layers of a crosscoder: its folder's name lists them, or the braces of its hookpoint."""
    listed = CROSSCODER.search(weights.absolute().parent.name) or re.search(
        r"\{(\d+(?:,\d+)+)\}", files.text(config, "hf_hook_point_in") or ""
    )
    found = [int(number) for number in re.split("[_,]", listed[1])] if listed else []
    if len(found) != n:
        raise GlossaError(
            f"expected a folder around {weights} that names the {n} layers of its crosscoder, such as layer_7_13_17_22_width_65k, found "
            f"{weights.absolute().parent.name}; keep the name that it was published under"
        )
    return found


def _check_architecture(config: Mapping[str, Any], path: Path) -> None:
    if config.get("architecture") != ARCHITECTURE:
        found = files.shown(config.get("architecture"))
        raise GlossaError(f"expected the architecture {ARCHITECTURE} in {path}, found {found}; no other can be read")


def _of_one_layer(folder: Path, options: Options) -> SparseCoder:
    """Reads the coder in float32: JumpReLU of ``x w_enc + b_enc``, from which no decoder bias was subtracted.

    The affine skip connection of a transcoder lies as [d_in, d_out]. A transcoder reads the output of the norm before the
    MLP, with its gain, as its config says.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or the coder is of several layers.
    """
    path, weights = folder / CONFIG, folder / WEIGHTS
    config = files.read_json(path) if path.is_file() else {"architecture": ARCHITECTURE}
    _check_architecture(config, path)
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
