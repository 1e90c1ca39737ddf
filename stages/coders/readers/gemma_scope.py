"""Gemma Scope's coders of Gemma 2: ``layer_{L}/width_{…}/average_l0_{n}/params.npz``.

What a coder reads is told by its repository's name and its folder alone, so both are taken from the path where they are in
it. ``res`` is a block's output; ``mlp`` what the MLP adds to the stream, after its norm; ``att`` the heads' outputs before
their projection, side by side. The transcoders read the norm before the MLP without its gain, which their authors folded
into the MLP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from stages.coders.activations import JumpRelu
from stages.coders.readers import Options, files
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError

WEIGHTS = "params.npz"
PUBLISHED = re.compile(r"gemma-scope-\d+b-(?:pt|it)-(res|mlp|att|transcoders)/(?:.*/)?layer_(\d+)/width_[^/]+/[^/]+$")
EMBEDDING = re.compile(r"(?:.*/)?embedding/width_[^/]+/average_l0_\d+")
L0 = re.compile(r"average_l0_(\d+)")
SITES = {
    "res": "layers.{}",
    "mlp": "layers.{}.post_feedforward_layernorm",
    "att": "layers.{}.self_attn.o_proj.input",
    "transcoders": "layers.{}.pre_feedforward_layernorm.normalized",
}
TARGETS = {"transcoders": "layers.{}.post_feedforward_layernorm"}
"""What they reconstruct, where that is not what they read."""


def detect(folder: Path) -> bool:
    """Whether ``folder`` is in this format."""
    return (folder / WEIGHTS).is_file()


def read(folder: Path, options: Options) -> SparseCoder:
    """Reads the coder in float32: JumpReLU of ``x W_enc + b_enc``, from which no decoder bias was subtracted.

    The coders of embeddings were published as experimental, and nothing beside them says whether they read embeddings
    before or after Gemma multiplies them by √d_in: ``norm_factor`` has to say what they are multiplied by.

    Raises:
        GlossaError: an array is missing, damaged or of another shape, or it is a coder of embeddings and there is no factor.
    """
    weights, place = folder / WEIGHTS, folder.absolute().as_posix()
    arrays = files.read_npz(weights)
    tensors = {name.lower(): value for name, value in arrays.items()}  # W_enc is w_enc in some
    if len(tensors) < len(arrays):
        raise GlossaError(
            f"expected every array once in {weights}, found {', '.join(sorted(arrays))}; fetch the coder again"
        )
    files.only(tensors, ("w_enc", "w_dec", "b_enc", "b_dec", "threshold"), weights)
    W_enc = files.matrix(tensors, "w_enc", weights).T.contiguous()  # noqa: N806
    (n, d_in), d_out = W_enc.shape, files.matrix(tensors, "w_dec", weights).shape[1]
    W_dec = files.take(tensors, "w_dec", (n, d_out), weights)  # noqa: N806
    b_dec = files.take(tensors, "b_dec", (d_out,), weights)

    embedding = EMBEDDING.fullmatch(place) is not None
    if not embedding:
        options.refuse_norm_factor(folder)
    elif options.norm_factor is None:
        raise GlossaError(
            f"the coder in {folder} reads embeddings, but it isn't published on what scale; give the constant by which they "
            f"are to be multiplied as norm_factor in params.yaml (SAELens takes 1/√d_in, {d_in**-0.5:.6g}, of the embeddings "
            "that Gemma has multiplied by √d_in)"
        )
    factor = options.norm_factor if embedding else None
    if factor is not None:
        W_enc, W_dec, b_dec = W_enc * factor, W_dec / factor, b_dec / factor  # noqa: N806
    input_norm = options.input_norm("none", folder)
    facts = {"format": "gemma_scope", "input_norm": input_norm, "norm_factor": factor}
    return SparseCoder(
        W_enc=W_enc,
        b_enc=files.take(tensors, "b_enc", (n,), weights),
        W_dec=W_dec,
        b_dec=b_dec,
        b_pre=torch.zeros(d_in),
        activation=JumpRelu(files.take(tensors, "threshold", (n,), weights)),
        source=str(folder),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        hookpoint="hook_embed" if embedding else _hookpoint(place, SITES),
        reconstructs=_hookpoint(place, TARGETS),
        published_l0=float(found[1]) if (found := L0.fullmatch(folder.absolute().name)) else None,
    )


def _hookpoint(place: str, sites: Mapping[str, str]) -> str | None:
    """The one of ``sites``, if its path has the published layout, downloaded plainly or into the hub's cache."""
    found = PUBLISHED.search(place)
    return sites[found[1]].format(found[2]) if found and found[1] in sites else None
