"""Llama Scope as published in 2024 (OpenMOSS): ``hyperparams.json`` and ``checkpoints/final.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stages.coders.activations import JumpRelu, Relu, TopK
from stages.coders.readers import Options, files, fold
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError

CONFIG = "hyperparams.json"
WEIGHTS = Path("checkpoints") / "final.safetensors"


def detect(path: Path) -> bool:
    """Whether ``path`` is a folder in this format."""
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the coder in float32, with its constants folded in as its authors' loader of 2024 does, in their order.

    First the dataset's average norms: with ``s = √d_model / norm``, ``b_enc /= s_in``, ``b_dec /= s_out`` and
    ``W_dec *= s_in / s_out``, so that activations go in and come out as they are; then, with
    ``sparsity_include_decoder_norm``, latents are rescaled to decoder rows of norm 1. The one threshold is compared last.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or its activations can't be told from it.
    """
    options.refuse_norm_factor(path)
    input_norm = options.input_norm("none", path)
    where, weights = path / CONFIG, path / WEIGHTS
    config = files.read_json(where)
    if files.flag(config, "use_glu_encoder", where):
        raise GlossaError(f"the coder in {path} has use_glu_encoder: true; only linear encoders can be read")
    d_in, n = files.whole(config, "d_model", where), files.whole(config, "d_sae", where)
    s_in, s_out = _scales(config, d_in, where)
    has_bias = files.flag(config, "use_decoder_bias", where, default=True)
    subtracts = has_bias and files.flag(config, "apply_decoder_bias_to_pre_encoder", where)
    unit = files.flag(config, "sparsity_include_decoder_norm", where)
    if subtracts and s_in != s_out:
        raise GlossaError(
            f"the coder in {path} subtracts its decoder's bias from an input of another scale "
            "(apply_decoder_bias_to_pre_encoder), which has no meaning; use another coder"
        )

    tensors = files.read_safetensors(weights)
    known = {"encoder.weight", "encoder.bias", "decoder.weight"} | ({"decoder.bias"} if has_bias else set())
    files.only(tensors, known, weights)
    W_enc = files.take(tensors, "encoder.weight", (n, d_in), weights)  # noqa: N806
    b_enc = files.take(tensors, "encoder.bias", (n,), weights) / s_in
    W_dec = files.take(tensors, "decoder.weight", (d_in, n), weights).T.contiguous() * (s_in / s_out)  # noqa: N806
    b_dec = files.take(tensors, "decoder.bias", (d_in,), weights) / s_out if has_bias else torch.zeros(d_in)
    if unit:
        W_enc, b_enc, W_dec = fold.unit_decoder(W_enc, b_enc, W_dec, weights)  # noqa: N806
    activation = _activation(config, n, where)
    k = activation.k if isinstance(activation, TopK) else None
    facts = {
        "format": "llama_scope",
        "activation": type(activation).__name__.lower(),
        "k": k,
        "threshold": activation.threshold[0].item() if isinstance(activation, JumpRelu) else None,
        "s_in": s_in,
        "s_out": s_out,
        "subtracts": subtracts,
        "unit_decoder": unit,
        "input_norm": input_norm,
    }
    return SparseCoder(
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        b_pre=b_dec if subtracts else torch.zeros(d_in),
        activation=activation,
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        hookpoint=files.text(config, "hook_point_in"),
        reconstructs=out if (out := files.text(config, "hook_point_out")) != config.get("hook_point_in") else None,
        published_l0=k,
    )


def _scales(config: Mapping[str, Any], d_in: int, where: Path) -> tuple[float, float]:
    """The constants by which the inputs and the targets were multiplied in training."""
    match config.get("norm_activation"):
        case "inference":
            return 1.0, 1.0
        case "dataset-wise":
            norms = config.get("dataset_average_activation_norm")
            norms = norms if isinstance(norms, dict) else {}
            return d_in**0.5 / files.real(norms, "in", where), d_in**0.5 / files.real(norms, "out", where)
        case other:
            raise GlossaError(
                f"expected norm_activation dataset-wise or inference in {where}, found {files.shown(other)}; "
                "use a coder that was trained with one of them"
            )


def _activation(config: Mapping[str, Any], n: int, where: Path) -> JumpRelu | Relu | TopK:
    match config.get("act_fn"):
        case "jumprelu":
            return JumpRelu(torch.full((n,), files.real(config, "jump_relu_threshold", where, zero=True)))
        case "relu":
            return Relu()
        case "topk":
            return TopK(files.whole(config, "top_k", where, at_most=n))
        case other:
            raise GlossaError(f"expected act_fn jumprelu, relu or topk in {where}, found {files.shown(other)}")
