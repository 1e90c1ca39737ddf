"""Coders saved as one PyTorch file and little else.

- Goodfire: ``encoder_linear.weight``, ``encoder_linear.bias``, ``decoder_linear.weight``, ``decoder_linear.bias``.
- qresearch: the same without ``_linear``.
- The attention SAEs of GPT-2 small by Kissane and Krzyzanowski: ``{name}.pt`` beside ``{name}_cfg.json``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.coders.activations import Relu
from stages.coders.readers import Options, dictionary_learning, files, openai
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError


def detect(path: Path) -> bool:
    """Whether ``path`` is a PyTorch file, or a folder with one and no other weights, that no other format claims."""
    return files.pickle_at(path) is not None and not openai.detect(path) and not dictionary_learning.detect(path)


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the autoencoder in float32: a ReLU; only the attention SAEs subtract the decoder's bias from the input.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says.
    """
    options.refuse_norm_factor(path)
    input_norm = options.input_norm("none", path)
    weights = files.pickle_at(path)
    if weights is None:
        raise GlossaError(f"expected one .pt or .pth file at {path}, found none or several; name the file itself")
    tensors = files.read_pickle(weights)
    attention = "W_enc" in tensors
    if attention:
        W_enc, W_dec, b_enc, b_dec, hookpoint = _attention(tensors, weights)  # noqa: N806
    else:
        W_enc, W_dec, b_enc, b_dec = _linear(tensors, weights)  # noqa: N806
        layer = re.search(r"[-_.]l(\d{1,3})(?!\w)", weights.stem, re.IGNORECASE)
        hookpoint = f"blocks.{int(layer[1])}.hook_resid_post" if layer else None
    facts = {"format": "plain", "subtracts": attention, "input_norm": input_norm}
    return SparseCoder(
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        b_pre=b_dec if attention else torch.zeros_like(b_dec),
        activation=Relu(),
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        hookpoint=hookpoint,
    )


def _linear(tensors: Mapping[str, Any], weights: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of two linear layers W_enc [latents, d_in], W_dec [latents, d_in], b_enc and b_dec."""
    goodfire = any(str(name).startswith(("encoder_linear.", "decoder_linear.")) for name in tensors)
    enc, dec = ("encoder_linear", "decoder_linear") if goodfire else ("encoder", "decoder")
    files.only(tensors, {f"{layer}.{part}" for layer in (enc, dec) for part in ("weight", "bias")}, weights)
    W_enc = files.matrix(tensors, f"{enc}.weight", weights)  # noqa: N806
    n, d_in = W_enc.shape
    W_dec = files.take(tensors, f"{dec}.weight", (d_in, n), weights).T.contiguous()  # noqa: N806
    b_enc = files.take(tensors, f"{enc}.bias", (n,), weights)
    return W_enc, W_dec, b_enc, files.take(tensors, f"{dec}.bias", (d_in,), weights)


def _attention(tensors: Mapping[str, Any], weights: Path) -> tuple[Tensor, Tensor, Tensor, Tensor, str | None]:
    """As ``_linear``, and the hookpoint, of an attention SAE."""
    where = weights.with_name(f"{weights.stem}_cfg.json")
    config = files.read_json(where)
    d_in, n = files.whole(config, "act_size", where), files.whole(config, "dict_size", where)
    files.only(tensors, {"W_enc", "W_dec", "b_enc", "b_dec"}, weights)
    W_enc = files.take(tensors, "W_enc", (d_in, n), weights).T.contiguous()  # noqa: N806
    W_dec = files.take(tensors, "W_dec", (n, d_in), weights)  # noqa: N806
    b_enc, b_dec = files.take(tensors, "b_enc", (n,), weights), files.take(tensors, "b_dec", (d_in,), weights)
    return W_enc, W_dec, b_enc, b_dec, files.text(config, "act_name")
