"""Which latents of a coder fire on a text: the subject and the coder, run as the cache stage runs them."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stages import plan
from stages.coders import opened
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError, check_name
from stages.latents import spec
from stages.latents.capture import CELLS, CELLS_ELSEWHERE
from stages.machine.memory import is_out_of_memory
from stages.params import Params
from stages.serve.text import Row, Tokenizer
from stages.subject.hookpoints import activations, name_of
from stages.subject.load import Subject


class Reading(NamedTuple):
    """Where latents fire on a row, in the order of its tokens."""

    row: Row
    places: NDArray[np.int64]
    """[events] column of the row."""
    latents: NDArray[np.int64]
    """[events]."""
    values: NDArray[np.float32]
    """[events] activations, with as many bits as the store keeps; below 0 only where the coder is signed."""


class Opened(NamedTuple):
    """A coder and what it reads."""

    coder: SparseCoder
    hookpoint: str
    subject: Subject


class Reader:
    """Keeps the tokenizer, the subjects and the coders that were needed so far."""

    def __init__(self, p: Params) -> None:
        self._p = p
        self._subjects: dict[str, Subject] = {}
        self._opened: dict[str, Opened] = {}

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """That of the corpus."""
        return Tokenizer(self._p)

    def opened(self, name: str) -> Opened:
        """Returns a coder of params.yaml, loaded at the first call.

        Raises:
            GlossaError: there is none of that name, or it or its subject can't be loaded.
        """
        check_name("coder", name, self._p.coders)
        if name not in self._opened:
            subject = self._subject(name)
            coder = opened.coder(self._p, name, subject, decodes=False)
            assert coder.hookpoint is not None  # from_params sees to it
            self._opened[name] = Opened(coder, name_of(subject, coder.hookpoint), subject)
        return self._opened[name]

    def read(self, name: str, text: str) -> Reading:
        """Returns which latents of the coder ``name`` fire where on ``text``.

        Raises:
            GlossaError: the text is empty, the coder can't be loaded or does not fit, or memory does not suffice.
        """
        return self.read_row(name, self.tokenizer.row(text))

    def read_row(self, name: str, row: Row) -> Reading:
        """Returns which latents of the coder ``name`` fire where on a row; raises GlossaError as ``read`` does."""
        coder, hookpoint, subject = self.opened(name)
        subject.check_fits(len(row.ids), int(row.ids.max()))
        kept = np.flatnonzero(row.ordinary)
        try:
            with torch.inference_mode():
                hidden = activations(subject, [hookpoint], torch.from_numpy(row.ids[None]))[hookpoint]
                if hidden.ndim != 3 or hidden.shape[-1] != coder.d_in:
                    raise GlossaError(
                        f"the coder {name} in {coder.source} reads {coder.d_in} values a token, but {hookpoint} of the "
                        f"subject {subject.name} gives {hidden.shape[-1]}; correct its entry in params.yaml"
                    )
                x = hidden[0].to(coder.device)[torch.from_numpy(kept).to(coder.device)]
                events = coder.encode(x, CELLS.get(subject.device.type, CELLS_ELSEWHERE))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise GlossaError(
                f"expected memory for {len(row.ids)} tokens through the subject and the coder {name}, but there is not "
                "enough; close what else uses it, or type less"
            ) from None
        places, latents = (part.cpu().numpy() for part in (events.rows, events.latents))
        values = events.values.float().cpu().numpy()
        if not np.isfinite(values).all():
            raise GlossaError(
                f"the coder {name} in {coder.source} gives an activation that is NaN or infinite on this text; try "
                "subject.dtype and cache.dtype float32"
            )
        return Reading(row, kept[places], latents, spec.round_mantissa(values, spec.kept_bits(self._p.cache.precision)))

    def _subject(self, name: str) -> Subject:
        key = plan.subject_of(self._p, name).model_dump_json()
        if key not in self._subjects:
            self._subjects[key] = opened.subject(self._p, name)
        return self._subjects[key]
