"""Two coders: in what respects they can be compared at all."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stages.similarity import activations, match, space
from stages.similarity.activations import Correlation, Stored, overlaps
from stages.similarity.blocks import Cosine, Similarity
from stages.similarity.match import Nearest
from stages.similarity.sources import Known, Sources

WEIGHTS = ("decoder", "encoder", "both")
"""Similarities of directions; ``both`` is the mean of the two before it (Paulo & Belrose, arXiv 2501.16615)."""
ELSEWHERE = "a coder of another project has no weights or activations here"
OTHER_SUBJECT = "the coders belong to different subjects, whose activations share no space"
UNREAD = "activations are not read unless compare.activations is true"


@dataclass
class Pair:
    """Two coders, and their similarities by kind: of all latents, or the reason why there is none."""

    a: Known
    b: Known
    similarities: dict[str, Similarity | str]
    """By ``decoder``, ``encoder``, ``both`` and ``activations``."""
    stored: tuple[Stored, Stored] | None = None
    _nearest: dict[str, Nearest] = field(default_factory=dict)

    def direction(self, wanted: str) -> str | None:
        """Returns the kind of similarity that counts as direction: the wanted one, else the first that there is."""
        kinds = (wanted, "decoder", "encoder", "activations")
        return next((kind for kind in kinds if not isinstance(self.similarities.get(kind, ""), str)), None)

    def nearest(self, kind: str) -> Nearest:
        """Returns the nearest latents by a kind that there is; they are sought once."""
        if kind not in self._nearest:
            similarity = self.similarities[kind]
            assert not isinstance(similarity, str)
            self._nearest[kind] = match.nearest(similarity)
        return self._nearest[kind]

    def values(self, by_meaning: Similarity | str, a: NDArray, b: NDArray) -> dict[str, NDArray[np.float64]]:
        """Returns how alike latents a[i] and b[i] are, [pairs], by kind; NaN where that is undefined."""
        kinds = {kind: self.similarities[kind] for kind in WEIGHTS} | {"explanation": by_meaning}
        found = {
            kind: np.full(len(a), np.nan) if isinstance(similarity, str) else similarity.pairs(a, b)
            for kind, similarity in kinds.items()
        }
        if self.stored is not None:
            return found | overlaps(*self.stored, a, b)._asdict()
        return found | {kind: np.full(len(a), np.nan) for kind in ("pearson", "jaccard")}


def pair(a: Known, b: Known, sources: Sources) -> Pair:
    """Finds out in what respects two coders can be compared."""
    if not {a.name, b.name} <= sources.here:
        return Pair(a, b, dict.fromkeys((*WEIGHTS, "activations"), ELSEWHERE))
    found: dict[str, Similarity | str] = {}
    of_a, of_b = sources.directions[a.name], sources.directions[b.name]
    vectors = []
    for kind in ("decoder", "encoder"):
        why = OTHER_SUBJECT if a.subject != b.subject else space.why_not(of_a, of_b, kind)
        if why:
            found[kind] = found["both"] = why
        else:
            vectors.append((getattr(of_a, kind).to(sources.device), getattr(of_b, kind).to(sources.device)))
            found[kind] = Cosine(vectors[-1:])
    if len(vectors) == 2:
        found["both"] = Cosine(vectors)
    if sources.stored is None:
        return Pair(a, b, {**found, "activations": UNREAD})
    stored = sources.stored[a.name], sources.stored[b.name]
    why = activations.why_not(*stored)
    return Pair(a, b, {**found, "activations": why or Correlation(*stored)}, None if why else stored)
