"""OpenMOSS's coders since 2025, with Llama Scope R1-Distill: ``config.json`` and ``sae_weights.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.coders.activations import JumpRelu, Relu, TopK
from stages.coders.readers import Options, files, fold, llamascopium_layers
from stages.coders.sparse_coder import InputNorm, SparseCoder
from stages.errors import GlossaError

CONFIG = "config.json"
WEIGHTS = ("sae_weights.safetensors", "checkpoints/pruned.safetensors", "checkpoints/final.safetensors")
"""Where weights may lie, in the order in which the library looks."""

NORMS = "dataset_average_activation_norm."
THRESHOLDS = {"log_jumprelu_threshold", "activation_function.log_jumprelu_threshold"}
OTHER_TYPES = {
    "lorsa": "a Lorsa reads whole sequences, not single tokens",
    "molt": "a MOLT's latents are linear maps, not directions",
}


def detect(path: Path) -> bool:
    """Whether ``path`` is a folder in this format."""
    return (path / CONFIG).is_file() and _weights(path) is not None


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the coder in float32.

    With ``norm_activation: dataset-wise`` the coder was trained on inputs times ``s_in = √d_model / norm_in``, to give
    targets times ``s_out``. Latents fire here exactly as they did in training, but their values are divided by ``s_in``,
    so that they are in units of the activations as they are. The norms lie among the tensors; where they do not,
    ``options.norm_factor`` is ``s_in``.

    With ``sparsity_include_decoder_norm`` a latent competes with its value times the norm of its decoder row. For a TopK
    coder these products are the values, and its decoder rows have norm 1; for others the threshold is divided instead.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or its activations can't be told from it.
    """
    where, weights = path / CONFIG, _weights(path)
    if weights is None:
        raise GlossaError(f"expected {WEIGHTS[0]} in {path}, found none; fetch the coder again")
    config = files.read_json(where)
    if config.get("sae_type") in ("clt", "crosscoder"):
        options.refuse_norm_factor(path)
        several = llamascopium_layers.cross_layer if config["sae_type"] == "clt" else llamascopium_layers.crosscoder
        return several(path, config, weights, options)
    _check(config, path)
    tensors = files.read_safetensors(weights)
    d_in = files.whole(config, "d_model", where)
    n = int(d_in * files.real(config, "expansion_factor", where))
    has_bias = files.flag(config, "use_decoder_bias", where, default=True)
    W_enc, b_enc, W_dec, b_dec = _parameters(tensors, d_in, n, has_bias, weights)  # noqa: N806

    input_norm, s_in, s_out = _scales(config, tensors, d_in, options, weights)
    subtracts = has_bias and files.flag(config, "apply_decoder_bias_to_pre_encoder", where)
    b_pre = b_dec / s_in if subtracts else torch.zeros(d_in)
    b_enc, b_dec, W_dec = b_enc / s_in, b_dec / s_out, W_dec * (s_in / s_out)  # noqa: N806
    weighed = files.flag(config, "sparsity_include_decoder_norm", where, default=True)
    activation: JumpRelu | Relu | TopK
    match config.get("act_fn"):
        case "relu":
            activation = Relu()
        case "jumprelu":
            threshold = _threshold(tensors, n, weights) / s_in
            trained_norms = W_dec.norm(dim=1) * (s_out / s_in)
            activation = JumpRelu(threshold / trained_norms if weighed else threshold)
        case "topk":
            activation = TopK(files.whole(config, "top_k", where, at_most=n))
            if weighed:
                W_enc, b_enc, W_dec = fold.unit_decoder(W_enc, b_enc, W_dec, weights)  # noqa: N806
        case "batchtopk":
            raise GlossaError(
                f"the coder in {path} has act_fn: batchtopk, so what fires at a token depends on the others in its batch; "
                "convert it to jumprelu"
            )
        case other:
            raise GlossaError(f"expected act_fn relu, jumprelu or topk in {where}, found {files.shown(other)}")
    k = activation.k if isinstance(activation, TopK) else None
    facts = {
        "format": "llamascopium",
        "activation": type(activation).__name__.lower(),
        "k": k,
        "weighed": weighed,
        "s_in": s_in,
        "s_out": s_out,
        "subtracts": subtracts,
        "input_norm": input_norm,
    }
    return SparseCoder(
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        b_pre=b_pre,
        activation=activation,
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        hookpoint=files.text(config, "hook_point_in"),
        reconstructs=out if (out := files.text(config, "hook_point_out")) != config.get("hook_point_in") else None,
        published_l0=k,
    )


def _weights(path: Path) -> Path | None:
    return next((path / name for name in WEIGHTS if (path / name).is_file()), None)


def _check(config: Mapping[str, Any], path: Path) -> None:
    """Refuses what is no sparse autoencoder or transcoder of one hookpoint with a linear encoder."""
    kind = config.get("sae_type", "sae")
    if kind != "sae":
        why = OTHER_TYPES.get(str(kind), "its meaning is not known")
        raise GlossaError(
            f"the coder in {path} has sae_type: {files.shown(kind)}, but {why}; only sae, clt and crosscoder can be read"
        )
    if files.flag(config, "use_glu_encoder", path / CONFIG):
        raise GlossaError(f"the coder in {path} has use_glu_encoder: true; only linear encoders can be read")


def _parameters(
    tensors: Mapping[str, Any], d_in: int, n: int, has_bias: bool, weights: Path
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W_enc, b_enc, W_dec and b_dec as saved, in the names of 2025's first half or those since."""
    old = "W_E" not in tensors and "encoder.weight" in tensors
    W, b, V, c = (  # noqa: N806
        ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias") if old else ("W_E", "b_E", "W_D", "b_D")
    )
    norms = {name for name in tensors if name.startswith(NORMS)}
    files.only(tensors, {W, b, V, *THRESHOLDS, *norms} | ({c} if has_bias else set()), weights)
    W_enc = files.take(tensors, W, (n, d_in) if old else (d_in, n), weights)  # noqa: N806
    W_dec = files.take(tensors, V, (d_in, n) if old else (n, d_in), weights)  # noqa: N806
    if old:
        W_dec = W_dec.T.contiguous()  # noqa: N806
    else:
        W_enc = W_enc.T.contiguous()  # noqa: N806
    b_dec = files.take(tensors, c, (d_in,), weights) if has_bias else torch.zeros(d_in)
    return W_enc, files.take(tensors, b, (n,), weights), W_dec, b_dec


def _threshold(tensors: Mapping[str, Any], n: int, weights: Path) -> Tensor:
    name = next((name for name in THRESHOLDS if name in tensors), "activation_function.log_jumprelu_threshold")
    return files.take(tensors, name, (n,), weights).exp()


def _scales(
    config: Mapping[str, Any], tensors: Mapping[str, Any], d_in: int, options: Options, weights: Path
) -> tuple[InputNorm, float, float]:
    """How the input is normalised, and the constants by which inputs and targets were multiplied in training."""
    hook_in = files.text(config, "hook_point_in")
    hook_out = files.text(config, "hook_point_out") or hook_in
    norm = config.get("norm_activation", "dataset-wise")
    if norm == "dataset-wise":
        s_in, s_out = (_scale(tensors, f"{NORMS}{hook}", d_in, weights) for hook in (hook_in, hook_out))
        if s_in is not None and s_out is not None:
            options.refuse_norm_factor(weights.parent)
            return options.input_norm("none", weights.parent), s_in, s_out
        if options.norm_factor is None or hook_in != hook_out:
            raise GlossaError(
                f"expected the average norms {NORMS}{hook_in} and {NORMS}{hook_out} in {weights}, found "
                f"{files.shown(', '.join(tensors))}; fetch it again or, if it reads and writes at the same hookpoint, give "
                "norm_factor: √d_model divided by the average norm of its inputs"
            )
        return options.input_norm("none", weights.parent), options.norm_factor, options.norm_factor
    options.refuse_norm_factor(weights.parent)
    if norm == "inference":
        return options.input_norm("none", weights.parent), 1.0, 1.0
    if norm == "token-wise" and hook_in == hook_out:
        return options.input_norm("constant_norm", weights.parent), 1.0, 1.0
    raise GlossaError(
        f"the coder in {weights.parent} has norm_activation: {files.shown(norm)}, which can't be undone for a single token "
        "or from one hookpoint to another; use one with dataset-wise or inference"
    )


def _scale(tensors: Mapping[str, Any], name: str, d_in: int, weights: Path) -> float | None:
    if name not in tensors:
        return None
    norm = {"norm": files.take(tensors, name, (), weights).item()}
    return d_in**0.5 / files.real(norm, "norm", weights)
