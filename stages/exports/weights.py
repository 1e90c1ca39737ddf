"""What the weights tell of latents beside their activations: the vectors they write, and how these move all logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.coders import directions
from stages.corpus.tokens import Vocabulary
from stages.errors import GlossaError
from stages.examples import origin
from stages.params import Params
from stages.subject.load import Subject
from stages.subject.unembedding import promoted

BARS = 50
AT_ONCE = 64
"""Latents whose logits are in memory together."""


class Written(NamedTuple):
    """Of one latent."""

    vector: list[float]
    """[width]: its row of the decoder."""
    heights: list[int]
    """How many output tokens it moves by so much: ``BARS`` bars of equal width, from the least logit to the largest; none if it moves no logits."""
    centres: list[float]
    """Where those bars stand, in centred logits per unit of activation."""


@dataclass(frozen=True)
class Weights:
    """A coder's decoder, and the subject whose logits it moves."""

    subject: Subject
    vectors: Tensor
    """[latents, width]"""
    residual: Tensor | None
    """[latents, width]: in which directions of the residual stream; None where they write none."""
    special: Tensor

    @classmethod
    def of(cls, p: Params, coder: str, vocabulary: Vocabulary) -> Weights | str:
        """Loads the weights that the examples of ``coder`` were taken from; or says why there are none."""
        try:
            found = origin.load(p, coder)
        except GlossaError as error:
            return str(error)
        if found.coder.W_dec is None:
            return "its decoder is not read"
        written = directions.residual(found.coder, found.subject)
        return cls(found.subject, found.coder.W_dec, written, torch.from_numpy(vocabulary.special))

    def of_latents(self, latents: list[int]) -> dict[int, Written]:
        """Returns what each of them writes."""
        found = {}
        for start in range(0, len(latents), AT_ONCE):
            some = latents[start : start + AT_ONCE]
            vectors = self.vectors[some].float().cpu().numpy()
            for latent, vector, logits in zip(some, vectors, self._logits(some), strict=True):
                found[latent] = Written(vector.tolist(), *_histogram(logits))
        return found

    def _logits(self, latents: list[int]) -> NDArray[np.float32]:
        """[latents, output tokens]: by how much each moves every logit, in falling order; no tokens if it moves none."""
        nothing = np.empty((len(latents), 0), np.float32)
        if self.residual is None:
            return nothing
        lens = promoted(self.subject, self.residual[latents], self.special, len(self.special))
        return nothing if lens is None else lens.top_values.numpy()


def _histogram(logits: NDArray[np.float32]) -> tuple[list[int], list[float]]:
    if not len(logits):
        return [], []
    heights, edges = np.histogram(logits, BARS)
    return heights.tolist(), ((edges[:-1] + edges[1:]) / 2).tolist()
