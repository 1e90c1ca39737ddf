"""Coders saved as one PyTorch file and little else, which says neither its activation function nor what is done to its input.

- Goodfire: ``encoder_linear.weight``, ``encoder_linear.bias``, ``decoder_linear.weight``, ``decoder_linear.bias``.
- qresearch: the same without ``_linear``.
- The attention SAEs of GPT-2 small by Kissane and Krzyzanowski: ``{name}.pt`` beside ``{name}_cfg.json``.
- The transcoders of GPT-2 small by Dunefsky and others: a ReLU; beside ``b_dec``, which is subtracted from the input, ``b_dec_out``.

Theirs are known by their names. How any other file is meant, params.yaml or a config beside it has to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.coders.activations import JumpRelu, Relu, TopK
from stages.coders.readers import (
    Options,
    crosscoders,
    dictionary_learning,
    files,
    hypothesaes,
    openai,
    qwen_scope,
    stated,
)
from stages.coders.readers.stated import Known, Meaning
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError

TAKES = ("activation", "k", "pre_bias")
"""What params.yaml may say about these files."""

LINEAR = re.compile(r"Llama-3\.[13]-\d+B-Instruct-SAE-l\d+|DeepSeek-R1-Distill-Llama-8B-SAE-l\d+")
"""Files of Goodfire and of qresearch: a ReLU, which subtracts nothing, of a block's output."""
ATTENTION = re.compile(r"gpt2-small_L\d+_Hcat_z(_.*)?")
"""Files of Kissane and Krzyzanowski: a ReLU, which subtracts the decoder's bias, of heads whose value biases were folded away."""

TRANSCODER = re.compile(r".*gpt2-small_blocks\.(\d+)\.ln2\.hook_normalized(_.*)?")
"""Files of Dunefsky and others, trained where TransformerLens had folded the norm's gain away and centred what the MLP writes."""
OUT = "b_dec_out"
THRESHOLDS = ("threshold", "log_threshold")


def detect(path: Path) -> bool:
    """Whether ``path`` is a PyTorch file, or a folder with one and no other weights, that no other format claims."""
    others = (openai, dictionary_learning, qwen_scope, hypothesaes)
    return files.pickle_at(path) is not None and not any(other.detect(path) for other in others)


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the autoencoder in float32, as it is said to be meant; see ``stated.meaning``.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or nobody says how it is meant.
    """
    options.refuse_norm_factor(path)
    input_norm = options.input_norm("none", path)
    weights = files.pickle_at(path)
    if weights is None:
        raise GlossaError(f"expected one .pt or .pth file at {path}, found none or several; name the file itself")
    try:
        (tensors, around), configs = files.read_with_around(weights), stated.beside(weights)
    except GlossaError as error:
        if TRANSCODER.fullmatch(weights.stem) is None:
            raise
        raise GlossaError(
            f"{error}; as published it keeps its config as an object of its authors' code, so where that is installed save "
            "torch.load(...)['state_dict'] in a file of the same name"
        ) from None
    configs |= {stated.WITHIN: around}
    if OUT in tensors:
        stated.refuse_others(weights, configs)
        return _transcoder(path, weights, tensors, options)
    attention = ATTENTION.fullmatch(weights.stem) is not None
    known = Known("relu", attention) if attention or LINEAR.fullmatch(weights.stem) else None
    shape = _attention(weights) if attention else None
    meant = stated.meaning(configs, known, options, weights)
    W_enc, W_dec, b_enc, b_dec, rest = _parameters(tensors, shape, weights)  # noqa: N806
    if meant.subtracts is None and bool((b_dec != 0).any()):
        raise GlossaError(
            f"nothing says whether the decoder's bias in {weights} is subtracted from the input; say pre_bias: true or false in its entry "
            "in params.yaml"
        )
    subtracts = bool(meant.subtracts)
    facts = {"format": "plain", "subtracts": subtracts, "input_norm": input_norm}
    if meant.function != "relu":
        facts |= {"activation": meant.function, "k": meant.k}
    if attention:
        facts["values_folded"] = True
    return SparseCoder(
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        b_pre=b_dec if subtracts else torch.zeros_like(b_dec),
        activation=_activation(meant, rest, len(b_enc), weights),
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        hookpoint=_hookpoint(weights, configs),
        published_l0=meant.k,
        values_folded=attention,
    )


def _transcoder(path: Path, weights: Path, tensors: Mapping[str, Any], options: Options) -> SparseCoder:
    """A transcoder of Dunefsky and others; what it writes is meant less its mean if the file has the published name."""
    if options.activation not in (None, "relu") or options.k is not None or options.pre_bias is False:
        raise GlossaError(
            f"{weights} is in the layout of the transcoders of GPT-2, which are ReLU and subtract b_dec; take activation, k and pre_bias out "
            "of its entry in params.yaml"
        )
    match = TRANSCODER.fullmatch(weights.stem)
    reconstructs = options.reconstructs or (f"blocks.{match[1]}.hook_mlp_out" if match else None)
    if reconstructs is None:
        raise GlossaError(
            f"{weights} is a transcoder ({OUT}), but neither it nor its name says what it writes; say hookpoint and reconstructs in its entry in "
            "params.yaml (of layer 0 of GPT-2: h.0.ln_2.normalized and h.0.mlp)"
        )
    files.only(tensors, ("W_enc", "b_enc", "W_dec", "b_dec", OUT), weights)
    W_enc = files.matrix(tensors, "W_enc", weights).T.contiguous()  # noqa: N806
    n, d_in = W_enc.shape
    d_out = files.matrix(tensors, "W_dec", weights).shape[1]
    input_norm = options.input_norm("none", path)
    if match and options.centre is None:
        input_norm = "centre"  # what a norm computes has no mean, what is to be reconstructed had lost it
    facts = {"format": "plain", "subtracts": True, "transcoder": True, "input_norm": input_norm}
    return SparseCoder(
        W_enc=W_enc,
        b_enc=files.take(tensors, "b_enc", (n,), weights),
        W_dec=files.take(tensors, "W_dec", (n, d_out), weights),
        b_dec=files.take(tensors, OUT, (d_out,), weights),
        b_pre=files.take(tensors, "b_dec", (d_in,), weights),
        activation=Relu(),
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        hookpoint=f"h.{match[1]}.ln_2.normalized" if match else None,
        reconstructs=reconstructs,
    )


def _hookpoint(weights: Path, configs: Mapping[str, Any]) -> str | None:
    if LINEAR.fullmatch(weights.stem):
        layer = weights.stem.rpartition("-l")[2]
        return f"blocks.{int(layer)}.hook_resid_post"
    own = configs.get(f"{weights.stem}_cfg.json", {})
    return files.text(own, "act_name")


def _attention(weights: Path) -> tuple[int, int]:
    """The shape of W_enc in the file of an attention SAE, whose config has to be there."""
    where = weights.with_name(f"{weights.stem}_cfg.json")
    config = files.read_json(where)
    return files.whole(config, "act_size", where), files.whole(config, "dict_size", where)


def _parameters(
    tensors: Mapping[str, Any], shape: tuple[int, int] | None, weights: Path
) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
    """W_enc [latents, d_in], W_dec [latents, d_in], b_enc and b_dec, and what else the activation function may want."""
    if shape is not None or "W_enc" in tensors:
        enc, dec, b_enc_name, b_dec_name = "W_enc", "W_dec", "b_enc", "b_dec"
    else:
        suffix = (
            "_linear" if any(str(name).startswith(("encoder_linear.", "decoder_linear.")) for name in tensors) else ""
        )
        enc, dec = f"encoder{suffix}.weight", f"decoder{suffix}.weight"
        b_enc_name = f"encoder{suffix}.bias"
        b_dec_name = "b_dec" if "b_dec" in tensors else f"decoder{suffix}.bias"
    rest = {name: tensors[name] for name in THRESHOLDS if name in tensors}
    files.only(tensors, {enc, dec, b_enc_name, b_dec_name, *rest}, weights)
    if isinstance(tensors.get(enc), Tensor) and tensors[enc].ndim == 3:
        crosscoders.refuse(weights, len(tensors[enc]))
    W_enc = files.take(tensors, enc, shape, weights) if shape else files.matrix(tensors, enc, weights)  # noqa: N806
    b_enc = files.vector(tensors, b_enc_name, weights)
    n, as_parameters = len(b_enc), shape is not None or (enc == "W_enc" and W_enc.shape[0] != len(b_enc))
    if enc == "W_enc" and shape is None and W_enc.shape[0] == W_enc.shape[1]:
        raise GlossaError(
            f"W_enc in {weights} is square, so which of its axes are latents can't be told; save it as encoder.weight [latents, inputs]"
        )
    if as_parameters:
        W_enc = W_enc.T.contiguous()  # noqa: N806
    if len(W_enc) != n:
        raise GlossaError(
            f"expected {enc} of the {n} latents of {b_enc_name} in {weights}, found the shape {list(W_enc.shape)}"
        )
    d_in = W_enc.shape[1]
    W_dec = files.take(tensors, dec, (n, d_in) if as_parameters else (d_in, n), weights)  # noqa: N806
    if not as_parameters:
        W_dec = W_dec.T.contiguous()  # noqa: N806
    return W_enc, W_dec, b_enc, files.take(tensors, b_dec_name, (d_in,), weights), rest


def _activation(meant: Meaning, rest: Mapping[str, Any], n: int, weights: Path) -> Relu | TopK | JumpRelu:
    if rest and meant.function != "jumprelu":
        raise GlossaError(
            f"{weights} holds {' and '.join(rest)}, but is said to be {meant.function}; say activation: jumprelu, or correct the file"
        )
    if meant.function == "topk":
        assert meant.k is not None
        return TopK(files.whole({"k": meant.k}, "k", weights, at_most=n))
    if meant.function == "relu":
        return Relu()
    name = next(iter(rest), "threshold")
    given: Any = rest.get(name)
    threshold = files.take(rest, name, () if isinstance(given, Tensor) and not given.ndim else (n,), weights).expand(n)
    return JumpRelu((threshold.exp() if name == "log_threshold" else threshold).contiguous())
