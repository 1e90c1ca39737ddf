"""Coders of hypothesaes: one PyTorch file of ``{"config": …, "state_dict": …}``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.coders.activations import JumpRelu, TopK
from stages.coders.readers import Options, files
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError

TENSORS = {"encoder.weight", "decoder.weight", "input_bias", "neuron_bias"}
"""By which the format is told."""


def detect(path: Path) -> bool:
    """Whether ``path`` is such a file, or a folder with one and no other weights."""
    weights = files.pickle_at(path)
    return weights is not None and files.keys_of(weights) >= TENSORS


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the coder in float32: the k largest of ``(x - input_bias) Wᵀ + neuron_bias`` that are above 0.

    With ``use_batch_topk`` those fire that are above the ``threshold`` that training found. Prefixes of Matryoshka training decide
    nothing once it has ended.

    Raises:
        GlossaError: a key or a shape is not what the format says, or its threshold was never set.
    """
    options.refuse_norm_factor(path)
    input_norm = options.input_norm("none", path)
    weights = files.pickle_at(path)
    if weights is None:
        raise GlossaError(f"expected one .pt or .pth file at {path}, found none or several; name the file itself")
    config, tensors = files.read_checkpoint(weights, "config")
    files.only(tensors, {*TENSORS, "threshold"}, weights)
    d_in, n = files.whole(config, "input_dim", weights), files.whole(config, "m_total_neurons", weights)
    k = files.whole(config, "k_active_neurons", weights, at_most=n)
    bias = files.take(tensors, "input_bias", (d_in,), weights)
    activation = _thresholds(tensors, n, weights) if files.flag(config, "use_batch_topk", weights) else TopK(k)
    facts = {
        "format": "hypothesaes",
        "activation": type(activation).__name__.lower(),
        "k": k,
        "input_norm": input_norm,
    }
    return SparseCoder(
        W_enc=files.take(tensors, "encoder.weight", (n, d_in), weights),
        b_enc=files.take(tensors, "neuron_bias", (n,), weights),
        W_dec=files.take(tensors, "decoder.weight", (d_in, n), weights).T.contiguous(),
        b_dec=bias,
        b_pre=bias,
        activation=activation,
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        published_l0=k,
    )


def _thresholds(tensors: dict[str, Any], n: int, weights: Path) -> JumpRelu:
    threshold: Tensor = files.take(tensors, "threshold", (), weights)
    if threshold <= 0:
        raise GlossaError(
            f"expected a threshold above 0 in {weights}, found {threshold:g}: training never set it, and without it everything positive "
            "would fire; train it further"
        )
    return JumpRelu(torch.full((n,), threshold.item()))
