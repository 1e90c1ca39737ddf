"""Dictionaries that Hugging Face's ``PyTorchModelHubMixin`` saved: ``config.json`` and ``model.safetensors``.

So publish the forks of dictionary_learning by which crosscoders for model diffing are trained. Classes are told by their tensors:

- a crosscoder has encoder.weight [places, d, latents], encoder.bias [latents], decoder.weight [places, latents, d], decoder.bias [places, d];
- with BatchTopK it has a threshold besides, and ``code_normalization_id`` says by what norm of its decoder a latent is multiplied before;
- an autoencoder has encoder.weight [latents, d] and the tensors of its class in dictionary_learning.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.coders.activations import JumpRelu, Relu
from stages.coders.readers import Options, crosscoders, files, stated
from stages.coders.sparse_coder import SparseCoder
from stages.coders.writes import Write
from stages.errors import GlossaError
from stages.subject.hookpoints import PLUS

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
NORMALIZATIONS = {1: "crosscoder", 2: "sae", 3: "mixed", 4: "none", 5: "decoupled"}
"""How the enumeration counts that the weights hold."""
OF_BATCH = {"k", "threshold"}
COUNTED = "code_normalization_id"


def detect(path: Path) -> bool:
    """Whether ``path`` is a folder in this format."""
    if not ((path / WEIGHTS).is_file() and (path / CONFIG).is_file()):
        return False
    try:
        return {"activation_dim", "dict_size"} <= files.read_json(path / CONFIG).keys()
    except GlossaError:
        return False


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the coder in float32.

    A crosscoder adds up what it reads of all places before its ReLU. With BatchTopK it fires above the threshold that training found.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or nobody names the places that it reads.
    """
    options.refuse_norm_factor(path)
    where, weights = path / CONFIG, path / WEIGHTS
    config = files.read_json(where)
    tensors = files.read_safetensors(weights)
    if "threshold" not in tensors:
        stated.refuse_others(weights, {CONFIG: config})
    d, n = (files.whole(config, key, where) for key in ("activation_dim", "dict_size"))
    encoder = files.take(tensors, "encoder.weight", None, weights)
    if encoder.ndim != 3:
        return _autoencoder(path, tensors, d, n, options)
    h = len(encoder)
    names = crosscoders.places(path, h, options)
    batched = "threshold" in tensors
    known = {
        "encoder.weight",
        "encoder.bias",
        "decoder.weight",
        "decoder.bias",
        COUNTED,
        *(OF_BATCH if batched else ()),
    }
    files.only(tensors, known, weights)
    encoder = files.take(tensors, "encoder.weight", (h, d, n), weights)
    decoder = files.take(tensors, "decoder.weight", (h, n, d), weights)
    kind = _normalization(config, tensors, where)
    activation, linear = _activation(tensors, decoder, kind, config, weights) if batched else (Relu(), True)
    facts = {
        "format": "hub_mixin",
        "places": h,
        "activation": type(activation).__name__.lower(),
        "code_normalization": kind if batched else None,
    }
    return SparseCoder(
        W_enc=crosscoders.side_by_side(encoder),
        b_enc=files.take(tensors, "encoder.bias", (n,), weights),
        W_dec=crosscoders.in_a_row(decoder) if linear else None,
        b_dec=files.take(tensors, "decoder.bias", (h, d), weights).flatten(),
        b_pre=torch.zeros(h * d),
        activation=activation,
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=crosscoders.no_norm(options, path),
        hookpoint=PLUS.join(names),
        published_l0=_k(tensors) if batched else None,
        writes=tuple(Write(name, weights, "decoder.weight", at, axis=0) for at, name in enumerate(names)),
    )


def _autoencoder(path: Path, tensors: Mapping[str, Any], d: int, n: int, options: Options) -> SparseCoder:
    """A ReLU autoencoder, or one of BatchTopK, of one place; both subtract the decoder's bias."""
    weights = path / WEIGHTS
    bias = "b_dec" if "threshold" in tensors else "bias"
    files.only(
        tensors,
        {"encoder.weight", "encoder.bias", "decoder.weight", bias, *(OF_BATCH if bias == "b_dec" else ())},
        weights,
    )
    b_dec = files.take(tensors, bias, (d,), weights)
    activation: JumpRelu | Relu = Relu()
    if bias == "b_dec":
        threshold = _threshold(tensors, weights, ())
        activation = JumpRelu(threshold.expand(n).contiguous())
    input_norm = options.input_norm("none", path)
    facts = {"format": "hub_mixin", "activation": type(activation).__name__.lower(), "input_norm": input_norm}
    return SparseCoder(
        W_enc=files.take(tensors, "encoder.weight", (n, d), weights),
        b_enc=files.take(tensors, "encoder.bias", (n,), weights),
        W_dec=files.take(tensors, "decoder.weight", (d, n), weights).T.contiguous(),
        b_dec=b_dec,
        b_pre=b_dec,
        activation=activation,
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        published_l0=_k(tensors),
    )


def _k(tensors: Mapping[str, Any]) -> float | None:
    k = tensors.get("k")
    return float(k.item()) if isinstance(k, Tensor) and files.is_plain(k) and k.numel() == 1 else None


def _normalization(config: Mapping[str, Any], tensors: Mapping[str, Any], where: Path) -> str:
    """By what norm of its decoder a latent is multiplied before it is compared with the threshold."""
    number = tensors.get(COUNTED)
    if isinstance(number, Tensor) and files.is_plain(number) and number.numel() == 1:
        found: Any = NORMALIZATIONS.get(int(number.item()))
    else:
        found = str(config.get("code_normalization", "crosscoder")).lower()
    if found not in NORMALIZATIONS.values():
        raise GlossaError(
            f"expected code_normalization to be one of {', '.join(NORMALIZATIONS.values())} in {where}, found {files.shown(found)}"
        )
    return found


def _activation(
    tensors: Mapping[str, Any], decoder: Tensor, kind: str, config: Mapping[str, Any], weights: Path
) -> tuple[JumpRelu, bool]:
    """The threshold of every latent for its pre-activation, and whether it then fires at all places."""
    norms = decoder.norm(dim=2)  # [places, latents]
    tiny = torch.finfo(norms.dtype).tiny
    if kind == "decoupled":
        threshold = _threshold(tensors, weights, (len(decoder),))
        return JumpRelu((threshold[:, None] / norms.clamp(min=tiny)).amin(0)), False
    total, whole = norms.sum(0), decoder.norm(dim=(0, 2))
    where = weights.with_name(CONFIG)
    alphas = {
        name: files.real({name: config.get(name, usual)}, name, where, zero=True)
        for name, usual in (("code_normalization_alpha_sae", 1.0), ("code_normalization_alpha_cc", 0.1))
    }
    factor = {
        "crosscoder": total,
        "sae": whole,
        "mixed": whole * alphas["code_normalization_alpha_sae"] + total * alphas["code_normalization_alpha_cc"],
        "none": torch.ones_like(total),
    }[kind]
    return JumpRelu(_threshold(tensors, weights, ()) / factor.clamp(min=tiny)), True


def _threshold(tensors: Mapping[str, Any], weights: Path, shape: tuple[int, ...]) -> Tensor:
    found = files.take(tensors, "threshold", shape, weights)
    if (found < 0).any():
        raise GlossaError(
            f"expected thresholds of at least 0 in {weights}, found {found.min():g}: training never set them, and without them everything "
            "positive would fire; train it longer"
        )
    return found
