"""What latents write to the residual stream."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.subject.hookpoints import Site, resolve
from stages.subject.load import Subject

AFTER = {"mlp": "post_feedforward_layernorm", "self_attn": "post_attention_layernorm"}
"""The norms through which the sublayers of Gemma 2 and 3 write."""

LAST = {"c_proj", "dense", "dense_4h_to_h", "down_proj", "fc2", "fc_out", "o_proj", "out_proj", "w2"}
"""What families call the projection through which a sublayer writes; what others write stays inside of it."""


BLOCK = re.compile(r"(?:layers|h)\.\d+")


def residual(coder: SparseCoder, subject: Subject) -> Tensor | None:
    """Returns the direction [latents, width] in which every latent moves the residual stream, up to a factor above 0.

    None if the coder has no decoder, or decodes what stays inside a sublayer (the heads of an attention layer, the neurons of an
    MLP), where a direction may be as wide as the residual stream and yet is none of it, or nobody knows what.
    """
    assert coder.hookpoint is not None
    try:
        site = resolve(subject, coder.reconstructs or coder.hookpoint)
    except GlossaError:  # the files name a place of another library; activations do not depend on it
        return None
    if coder.W_dec is None or (_is_inside(site) and coder.W_enc is not None):
        return None
    gain = _gain(subject, site)
    return coder.W_dec if gain is None else coder.W_dec * gain.to(coder.W_dec)


def each(coder: SparseCoder, subject: Subject) -> list[Callable[[], Tensor]] | None:
    """Returns, for each of ``coder.writes``, what gives the directions [latents, width] in which latents move the residual stream there.

    Only one of them need be in memory at a time. None if one of the places is not in the subject, or no residual stream.
    """
    try:
        sites = [resolve(subject, write.hookpoint) for write in coder.writes]
    except GlossaError:
        return None
    if not sites or any(map(_is_inside, sites)):
        return None

    def directions(matrix: Callable[[], Tensor], gain: Tensor | None) -> Tensor:
        found = matrix()
        return found if gain is None else found * gain.to(found)

    return [
        partial(directions, write.matrix, _gain(subject, site)) for write, site in zip(coder.writes, sites, strict=True)
    ]


def is_stream(subject: Subject, hookpoint: str) -> bool:
    """Whether a place is the residual stream itself, which contains all that was written to it before, or what is added to it.

    Raises:
        GlossaError: the subject has no such place.
    """
    site = resolve(subject, hookpoint)
    is_norm = subject.kinds[site.path].normalizes and site.part == "input"
    return BLOCK.fullmatch(site.path.rpartition(".")[0] if is_norm else site.path) is not None


def _is_inside(site: Site) -> bool:
    """Whether a place is inside a sublayer, before the projection through which it writes."""
    from transformers.pytorch_utils import Conv1D

    is_last = site.part != "input" and site.path.rpartition(".")[2] in LAST
    return isinstance(site.module, nn.Linear | Conv1D) and not is_last


def _gain(subject: Subject, site: Site) -> Tensor | None:
    """The gain [width] of the norm between a sublayer and the residual stream, if there is one."""
    found = re.fullmatch(r"(layers\.\d+)\.(mlp|self_attn)(\..+)?", site.path)
    if found is None or f"{found[1]}.pre_feedforward_layernorm" not in subject.modules:
        return None
    norm: Any = subject.modules[f"{found[1]}.{AFTER[found[2]]}"]
    return 1 + norm.weight.detach().float()
