"""The ways to read a coder's files and to place it in the subject: the one that is meant, and every likely mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from stages.coders.activations import Activation, JumpRelu, Relu, TopK
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.subject import sites
from stages.subject.hookpoints import Site, activations, name_of, resolve, split
from stages.subject.load import Subject

BLOCK = re.compile(r"((?:.*\.)?(?:layers|h|blocks)\.)(\d+)(\..*)?")
KS = (8, 32, 128)
"""Latents that are tried of a coder that is read as a ReLU and may be a TopK; any near the right one tells."""
DENSER = RICHER = 0.25
"""More latents always reconstruct a little more, and so does what is handed a token's mean and norm, so such a reading has to be
better by this share of the FVU."""
OF_THE_SAME = {
    "output": "the output of the same module",
    "input": "the input of the same module",
    "normalized": "the same norm before its gain and bias",
}


@dataclass(frozen=True, eq=False)
class Reading:
    """A coder and its place."""

    what: str
    """What is wrong with it; empty for the one that is meant."""
    coder: SparseCoder
    reads: str
    reconstructs: str
    """Hookpoints."""
    remedy: str = ""
    """What to do if this one turns out to be right."""
    margin: float = 0.0
    """By what share of the FVU it has to be better to mean anything."""


def meant(subject: Subject, coder: SparseCoder) -> Reading:
    """Returns the coder at its hookpoint, reconstructing what its files say, or else what it reads.

    Raises:
        GlossaError: the subject has no such place, or one of another width.
    """
    assert coder.hookpoint is not None
    if len(split(coder.hookpoint)) > 1:  # a crosscoder
        several = name_of(subject, coder.hookpoint)
        return _checked(subject, Reading("", coder, several, several))
    site = resolve(subject, coder.hookpoint)
    # The files of sparsify name no target, but an SAE of its reads what a module puts out, a transcoder what it takes in.
    from_sparsify = coder.identity.get("format") == "sparsify"
    if coder.reconstructs is not None:
        reconstructs = resolve(subject, coder.reconstructs).name
    elif site.part == "input" and (from_sparsify or coder.W_enc is None):
        reconstructs = site.path
    else:
        reconstructs = site.name
    return _checked(subject, Reading("", coder, site.name, reconstructs))


def _checked(subject: Subject, own: Reading) -> Reading:
    """The same; raises GlossaError if the widths of its places are others."""
    coder, row = own.coder, torch.zeros(1, 1, dtype=torch.long)
    wanted = {own.reads: (coder.d_in, "reads")}
    if coder.W_dec is not None and own.reconstructs != own.reads:
        wanted[own.reconstructs] = (coder.W_dec.shape[1], "gives")
    for name, (width, does) in wanted.items():
        found = _width(subject, name, row)
        if found is None:
            raise GlossaError(
                f"{name} of the subject {subject.name} does not give one vector at every token, or is never read, so the coder in "
                f"{coder.source} can't be there; set another hookpoint"
            )
        if found != width:
            raise GlossaError(
                f"the coder in {coder.source} {does} {width} values a token, but {name} of the subject {subject.name} has "
                f"{found}; is it the right coder, or another hookpoint?"
            )
    return own


def mistaken(subject: Subject, own: Reading, row: Tensor) -> Iterator[Reading]:
    """Yields the wrong readings whose shapes fit, tried on one ``row`` [1, length] of tokens; ``own`` has a decoder."""
    yield from _other_weights(subject, own)
    assert own.coder.W_dec is not None
    wanted = (own.coder.d_in, own.coder.W_dec.shape[1])
    for what, reads, reconstructs in _other_hookpoints(subject, own):
        if (_width(subject, reads, row), _width(subject, reconstructs, row)) == wanted:
            yield Reading(what, own.coder, reads, reconstructs, f"set hookpoint: {reads} in its entry in params.yaml")


def _other_weights(subject: Subject, own: Reading) -> Iterator[Reading]:
    coder = own.coder
    W_enc, W_dec = coder.W_enc, coder.W_dec  # noqa: N806
    assert W_enc is not None
    assert W_dec is not None
    n, d_in, d_out = coder.n_latents, coder.d_in, W_dec.shape[1]

    def reading(what: str, remedy: str, **changes: Any) -> Reading:
        return replace(own, what=what, coder=replace(coder, **changes), remedy=remedy)

    if n == d_out:
        yield reading("decoder transposed", "transpose its decoder in the file", W_dec=W_dec.T.contiguous())
    if n == d_in:
        yield reading("encoder transposed", "transpose its encoder in the file", W_enc=W_enc.T.contiguous())
    if d_in == d_out and not torch.equal(W_enc, W_dec):
        yield reading("encoder as decoder", "see whether the file has its decoder under another name", W_dec=W_enc)
    disagrees = "its config may disagree with its weights: ask those who trained it"
    if bool((coder.b_pre != 0).any()):
        yield reading("b_dec not subtracted from the input", disagrees, b_pre=torch.zeros_like(coder.b_pre))
    elif d_in == d_out and bool((coder.b_dec != 0).any()):
        yield reading("b_dec subtracted from the input", disagrees, b_pre=coder.b_dec)
    if coder.input_norm == "centre":
        yield reading("input not mean-centred", "set centre: false in its entry in params.yaml", input_norm="none")
    elif coder.input_norm != "none":
        yield reading("input not normalised", disagrees, input_norm="none")
    else:
        if any(
            isinstance(module, nn.LayerNorm) for module in subject.modules.values()
        ):  # RMSNorm models aren't centred
            yield reading("input mean-centred", "set centre: true in its entry in params.yaml", input_norm="centre")
        if own.reads == own.reconstructs:
            for norm, what in (
                ("constant_norm", "input scaled to the norm √d_in"),
                ("layer_norm", "input standardised"),
            ):
                found = reading(what, f"set normalise: {norm} in its entry in params.yaml", input_norm=norm)
                yield replace(found, margin=RICHER)
    for what, remedy, margin, activation in _other_activations(coder, disagrees):
        yield replace(reading(what, remedy, activation=activation), margin=margin)


def _other_activations(coder: SparseCoder, disagrees: str) -> Iterator[tuple[str, str, float, Activation]]:
    """A description, a remedy, a margin and what else the coder may make of its pre-activations."""
    match coder.activation:
        case Relu():
            for k in sorted({*KS, *([round(coder.published_l0)] if coder.published_l0 else [])}):
                if 1 <= k <= coder.n_latents // 2:
                    yield (
                        f"only the {k} largest latents",
                        f"it may be a TopK of about k: {k}, {disagrees}",
                        0.0,
                        TopK(k),
                    )
        case JumpRelu():
            yield "every latent above 0, without thresholds", disagrees, DENSER, Relu()
        case TopK(_, signed=False):
            yield "every latent above 0, without the limit of k", disagrees, DENSER, Relu()


def _other_hookpoints(subject: Subject, own: Reading) -> Iterator[tuple[str, str, str]]:
    """A description, what is read and what is reconstructed; whether they exist and fit is not known."""
    if len(split(own.reads)) > 1:
        return
    site = resolve(subject, own.reads)
    is_transcoder = own.reads != own.reconstructs
    for name, step in (("previous", -1), ("next", 1)):
        reads = _moved(own.reads, step)
        if reads != own.reads:
            yield f"at {reads}, the {name} layer", reads, _moved(own.reconstructs, step)
    is_block = (match := BLOCK.fullmatch(site.path)) is not None and match[3] is None
    for part in sites.PARTS:
        neighbour = _moved(site.path, -1 if part == "input" else 1)
        seen = is_block and neighbour in subject.modules  # a block's input is the output of the one before
        if part != site.part and not seen:
            reads = Site(site.path, part, subject).name
            yield f"at {reads}, {OF_THE_SAME[part]}", reads, own.reconstructs if is_transcoder else reads


def _moved(hookpoint: str, step: int) -> str:
    """The same place in another block."""
    match = BLOCK.fullmatch(hookpoint)
    return hookpoint if match is None else f"{match[1]}{int(match[2]) + step}{match[3] or ''}"


def _width(subject: Subject, hookpoint: str, row: Tensor) -> int | None:
    """The width of what a hookpoint gives, None if there is no such place."""
    try:
        value = activations(subject, [hookpoint], row)[hookpoint]
    except GlossaError:
        return None
    return value.shape[-1] if value.ndim == 3 else None
