"""Gemma Scope 2's coders of Gemma 3: ``config.json`` and ``params.safetensors``.

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


def detect(folder: Path) -> bool:
    """Whether ``folder`` is in this format."""
    return (folder / WEIGHTS).is_file()


def read(folder: Path, options: Options) -> SparseCoder:
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
