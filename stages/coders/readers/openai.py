"""OpenAI's sparse autoencoders of GPT-2 small: one PyTorch file for each, e.g. ``resid_post_mlp_v5_32k/autoencoders/6.pt``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.coders.activations import Relu, TopK
from stages.coders.readers import Options, files, stated
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError

TENSORS = {"pre_bias", "encoder.weight", "latent_bias", "decoder.weight"}
STATISTICS = {"stats_last_nonzero", "latents_activation_frequency", "latents_mean_square"}
ACTIVATION = {"activation", "activation_state_dict", "activation.k", "activation.postact_fn"}
"""The last two repeat the second, in files that the authors' class saves today."""
SITES = {
    "mlp_post_act": "mlp.hook_post",
    "resid_delta_attn": "hook_attn_out",
    "resid_post_attn": "hook_resid_mid",
    "resid_delta_mlp": "hook_mlp_out",
    "resid_post_mlp": "hook_resid_post",
}


def detect(path: Path) -> bool:
    """Whether ``path`` is a file in this format, or a folder with one and no other weights."""
    file = files.pickle_at(path)
    return file is not None and not files.keys_of(file).isdisjoint({"pre_bias", "latent_bias"})


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the autoencoder in float32.

    ``pre_bias`` is subtracted from the input and added to the reconstruction. A TopK autoencoder standardises its input
    first, as its authors' code does; the file does not say so.

    Raises:
        GlossaError: a key or a shape is not what the format says, or its activations can't be told from it.
    """
    options.refuse_norm_factor(path)
    weights = files.pickle_at(path)
    if weights is None:
        raise GlossaError(f"expected one .pt file at {path}, found none or several; name the file itself")
    tensors = files.read_pickle(weights)
    files.only(tensors, TENSORS | STATISTICS | ACTIVATION | {"decoder.linear.weight"}, weights)
    W_enc = files.matrix(tensors, "encoder.weight", weights)  # noqa: N806
    n, d_in = W_enc.shape
    bias = files.take(tensors, "pre_bias", (d_in,), weights)
    tied = "decoder.weight" not in tensors and "decoder.linear.weight" in tensors
    activation = _activation(tensors, n, weights)
    k = activation.k if isinstance(activation, TopK) else None
    input_norm = options.input_norm("layer_norm" if k else "none", path)
    facts = {"format": "openai", "k": k, "signed": activation.signed, "input_norm": input_norm}
    return SparseCoder(
        W_enc=W_enc,
        b_enc=files.take(tensors, "latent_bias", (n,), weights),
        W_dec=W_enc if tied else files.take(tensors, "decoder.weight", (d_in, n), weights).T.contiguous(),
        b_dec=bias,
        b_pre=bias,
        activation=activation,
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        hookpoint=_hookpoint(weights),
        published_l0=k,
    )


def _activation(tensors: Mapping[str, Any], n: int, weights: Path) -> Relu | TopK:
    """The activation; files of 2023 hold none and are meant to have a ReLU."""
    if "activation" not in tensors:
        stated.refuse_others(weights, stated.beside(weights))
    match tensors.get("activation", "ReLU"):
        case "ReLU":
            return Relu()
        case "TopK":
            state = tensors.get("activation_state_dict")
            state = state if isinstance(state, dict) else {}
            after = state.get("postact_fn")
            if after not in ("ReLU", "Identity"):
                raise GlossaError(f"expected ReLU or Identity after TopK in {weights}, found {files.shown(after)}")
            return TopK(files.whole(state, "k", weights, at_most=n), signed=after == "Identity")
        case other:
            raise GlossaError(f"expected the activation ReLU or TopK in {weights}, found {files.shown(other)}")


def _hookpoint(weights: Path) -> str | None:
    """The site that the folders around ``autoencoders/{layer}.pt`` are named after."""
    file = weights.absolute()
    location = re.fullmatch(r"(\w+?)(_v\d+(_\d+k)?)?", file.parent.parent.name)
    if not location or location[1] not in SITES or not re.fullmatch(r"\d{1,3}", file.stem):
        return None
    return f"blocks.{int(file.stem)}.{SITES[location[1]]}"
