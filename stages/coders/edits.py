"""Changing one latent of a sparse coder inside the subject, everything else as it is.

With e the coder's error, what its hookpoint gives is h = decode(a) + e, and an edit makes h' = decode(a') + e of it, where a' is a
with one latent changed (arXiv 2410.13928, App. G). Decoders are linear, so h' = h + (a'_j - a_j) W_dec[j], times what the coder's
normalisation of its inputs puts back; e is never computed. A transcoder's latents write to where it reconstructs, not where it reads,
those of a layer of a cross-layer transcoder to that layer and all later ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from stages.coders import directions, readings
from stages.coders.sparse_coder import SparseCoder
from stages.coders.writes import Write
from stages.errors import GlossaError
from stages.subject.hookpoints import resolve, split
from stages.subject.load import Subject
from stages.subject.steering import Edit

_Raised = Callable[[Tensor, Tensor], Tensor]
"""(numbers of the prompts [rows], what is read at tokens [rows, n, width]) -> by how much the latent is raised there [rows, n]."""

NO_DECODER = "its latents write to many layers, and the file of their decoders is not beside that of the encoder"
STREAM = (
    "its latents write to the residual stream at {n} places, each of which contains what was written before, so an edit of all would count "
    "several times; use a coder of one place"
)
SEVERAL = "its latents read several places at once, of which later ones would follow from an edit of earlier ones; use a coder of one place"

_Rows = Callable[[Tensor], Tensor]
"""(latents [rows]) -> what each writes to a place [rows, width]."""


@dataclass(frozen=True, eq=False)
class Editor:
    """Makes edits of a coder's latents in one subject."""

    coder: SparseCoder
    reads: str
    places: tuple[tuple[str, _Rows], ...]
    """Hookpoints to which latents write, from the first in the forward pass to the last, and what they write there."""

    def add(self, latents: Tensor, strengths: Tensor) -> Edit:
        """Returns the edit that raises, for prompt i, the activation of ``latents[i]`` by ``strengths[i]``."""

        def raised(rows: Tensor, x: Tensor) -> Tensor:
            return strengths.to(x.device, torch.float32)[rows][:, None].expand(x.shape[:2])

        return self._edit(latents, raised)

    def ablate(self, latents: Tensor) -> Edit:
        """Returns the edit that sets, for prompt i, the activation of ``latents[i]`` to 0."""

        def raised(rows: Tensor, x: Tensor) -> Tensor:
            own = latents.to(x.device)[rows].repeat_interleave(x.shape[1])
            events = self.coder.encode(x.flatten(0, 1))
            is_own = events.latents == own[events.rows]
            found = torch.zeros(len(own), device=x.device)
            found[events.rows[is_own]] = -events.values[is_own].float()
            return found.view(x.shape[:2])

        return self._edit(latents, raised)

    def _edit(self, latents: Tensor, raised: _Raised) -> Edit:
        def at(hookpoint: str, written: Tensor) -> Edit:
            def change(rows: Tensor, x: Tensor, h: Tensor) -> Tensor:
                x, rows = x.to(self.coder.device), rows.to(self.coder.device)
                vectors = written[rows.to(written.device)].to(x.device, torch.float32)[:, None]
                gain = self.coder.gain(x.flatten(0, 1).float()).view(*x.shape[:2], 1)
                return h.float() + (raised(rows, x)[:, :, None] * gain * vectors).to(h.device)

            return Edit(self.reads, hookpoint, change)

        first, *others = (at(hookpoint, rows(latents)) for hookpoint, rows in self.places)
        return replace(first, also=tuple(others))


def editor(subject: Subject, coder: SparseCoder) -> Editor | str:
    """Returns what makes edits of the latents of ``coder``, or, as text, why they can't be edited in this subject."""
    if coder.W_dec is None and not coder.writes:
        return NO_DECODER
    try:
        place = readings.meant(subject, coder)
        if len(split(place.reads)) > 1:
            return SEVERAL
        names = [resolve(subject, write.hookpoint).name for write in coder.writes] or [place.reconstructs]
        for name in names:
            if resolve(subject, name).part == "normalized":
                return f"no module gives or takes {name}, so nothing can stand in for it"
        if sum(directions.is_stream(subject, name) for name in names) > 1:
            return STREAM.format(n=len(names))
    except GlossaError as error:  # the files name a place of another library; activations do not depend on it
        return str(error)
    coder = replace(coder, W_skip=None).to(subject.device)
    rows: list[_Rows] = [partial(_rows_of, write) for write in coder.writes]
    if coder.W_dec is not None and not rows:
        rows = [partial(_rows_in, coder.W_dec)]
    return Editor(coder, place.reads, tuple(zip(names, rows, strict=True)))


def _rows_in(W_dec: Tensor, latents: Tensor) -> Tensor:  # noqa: N803 - as in SparseCoder
    return W_dec[latents.to(W_dec.device)].float()


def _rows_of(write: Write, latents: Tensor) -> Tensor:
    found, places = latents.unique(return_inverse=True)
    return write.rows(found.tolist())[places]
