"""What the latents of a coder write and read, and in which space that lies: only directions of one space can be compared.

The residual stream is one space through all layers: a layer's input and output, and what attention and MLP add to it. The
heads of an attention layer or the neurons of an MLP are spaces of their own, each comparable with itself alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from torch import Tensor, nn

from stages.coders import directions as coder_directions
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.similarity.blocks import unit
from stages.subject.hookpoints import name_of, resolve, split
from stages.subject.load import Subject
from stages.subject.sites import PARTS

RESIDUAL = "the residual stream"
PLAIN = re.compile(r"(?:\w+\.)*(?:layers|h)\.\d+(?:\.(?:input|output))?")
"""Hookpoints that lie in the residual stream whatever the subject."""
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)(?:\.|$)")


class Directions(NamedTuple):
    """The directions of all latents of one coder at unit norm, and the space of each kind; None with a reason."""

    decoder: Tensor | None
    """[latents, width] float32."""
    encoder: Tensor | None
    writes: str
    """The space that decoder directions lie in, or why there are none."""
    reads: str
    """The space that encoder directions lie in, or why there are none."""


def needs_subject(coder: SparseCoder) -> bool:
    """Whether the subject must be looked at to know where the coder reads and writes."""
    places = [coder.hookpoint or "", *([coder.reconstructs] if coder.reconstructs else [])]
    return not all(PLAIN.fullmatch(place) for place in places)


def directions(coder: SparseCoder, subject: Subject | None) -> Directions:
    """Returns the directions of ``coder``; ``subject`` may be None if ``needs_subject`` says no."""
    assert coder.hookpoint is not None
    if coder.W_dec is None:
        decoder, writes = None, "it writes to several places" if coder.writes else "it has no decoder"
    elif subject is None:
        decoder, writes = coder.W_dec, RESIDUAL
    else:
        decoder, writes = _written(coder, subject)
    if coder.W_enc is None:
        encoder, reads = None, "it has no encoder"
    else:
        encoder, reads = coder.W_enc, RESIDUAL if subject is None else _space(subject, coder.hookpoint)
    return Directions(
        None if decoder is None else unit(decoder),
        None if encoder is None else unit(encoder),
        writes,
        reads,
    )


def _written(coder: SparseCoder, subject: Subject) -> tuple[Tensor | None, str]:
    found = coder_directions.residual(coder, subject)
    if found is not None:
        return found, RESIDUAL
    place = coder.reconstructs or coder.hookpoint or ""
    try:
        return coder.W_dec, name_of(subject, place)
    except GlossaError:
        return None, f"its files name {place} as what it reconstructs, which the subject does not have"


def _space(subject: Subject, hookpoint: str) -> str:
    from transformers.pytorch_utils import Conv1D

    if len(split(hookpoint)) > 1:  # of a crosscoder: a space of its own, however many residual streams it consists of
        return name_of(subject, hookpoint)
    site = resolve(subject, hookpoint)
    inside = site.part == "input" and isinstance(site.module, nn.Linear | Conv1D)
    return site.name if inside else RESIDUAL


def why_not(a: Directions, b: Directions, kind: str) -> str | None:
    """Returns why the directions of ``kind``, decoder or encoder, of coders of one subject can't be compared, if so."""
    of_a, of_b = getattr(a, kind), getattr(b, kind)
    space_a, space_b = (a.writes, b.writes) if kind == "decoder" else (a.reads, b.reads)
    verb = "write to" if kind == "decoder" else "read"
    for which, vectors, reason in (("first", of_a, space_a), ("second", of_b, space_b)):
        if vectors is None:
            return f"the {which} coder has no {kind} directions: {reason}"
    if space_a != space_b:
        return f"the coders {verb} different spaces, {space_a} and {space_b}"
    if of_a.shape[1] != of_b.shape[1]:
        return f"the coders {verb} spaces of different widths, {of_a.shape[1]} and {of_b.shape[1]}"
    return None


def layer(hookpoint: str) -> int | None:
    """Returns the layer that a hookpoint names, counted from 0; None if it names none."""
    found = LAYER.search(hookpoint)
    return int(found[1]) if found else None


def module(hookpoint: str) -> str:
    """Returns what inside its layer a hookpoint reads, such as ``mlp``: empty for the residual stream, all of one without a layer."""
    found = LAYER.search(hookpoint)
    if found is None:
        return hookpoint
    first = hookpoint[found.end() :].partition(".")[0]
    return "" if first in PARTS else first


def size(directions: Directions) -> int:
    """Bytes that the vectors take."""
    return sum(v.numel() * v.element_size() for v in (directions.decoder, directions.encoder) if v is not None)
