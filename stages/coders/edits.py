"""Changing one latent of a sparse coder inside the subject, everything else as it is.

With e the coder's error, what its hookpoint gives is h = decode(a) + e, and an edit makes h' = decode(a') + e of it, where a' is a
with one latent changed (arXiv 2410.13928, App. G). Decoders are linear, so h' = h + (a'_j - a_j) W_dec[j], times what the coder's
normalisation of its inputs puts back; e is never computed. A transcoder's latents write to where it reconstructs, not where it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stages.coders import readings
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.subject.hookpoints import resolve
from stages.subject.load import Subject
from stages.subject.steering import Edit

_Raised = Callable[[Tensor, Tensor], Tensor]
"""(numbers of the prompts [rows], what is read at tokens [rows, n, width]) -> by how much the latent is raised there [rows, n]."""

NO_DECODER = "its latents write to many layers, and their decoders are not read"


@dataclass(frozen=True, eq=False)
class Editor:
    """Makes edits of a coder's latents in one subject."""

    coder: SparseCoder
    reads: str
    writes: str
    """Hookpoints."""

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
        assert self.coder.W_dec is not None
        written = self.coder.W_dec

        def change(rows: Tensor, x: Tensor, h: Tensor) -> Tensor:
            x, rows = x.to(self.coder.device), rows.to(self.coder.device)
            directions = written[latents.to(written.device)[rows]].float()[:, None]
            gain = self.coder.gain(x.flatten(0, 1).float()).view(*x.shape[:2], 1)
            return h.float() + (raised(rows, x)[:, :, None] * gain * directions).to(h.device)

        return Edit(self.reads, self.writes, change)


def editor(subject: Subject, coder: SparseCoder) -> Editor | str:
    """Returns what makes edits of the latents of ``coder``, or, as text, why they can't be edited in this subject."""
    if coder.W_dec is None:
        return NO_DECODER
    try:
        place = readings.meant(subject, coder)
        if resolve(subject, place.reconstructs).part == "normalized":
            return f"no module gives or takes {place.reconstructs}, so nothing can stand in for it"
    except GlossaError as error:  # the files name a place of another library; activations do not depend on it
        return str(error)
    return Editor(replace(coder, W_skip=None).to(subject.device), place.reads, place.reconstructs)
