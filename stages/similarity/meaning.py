"""How alike the explanations of matched latents are, and how alike they would be by chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = (2.5, 97.5)


class Meaning(NamedTuple):
    """Mean cosine of the explanations of matched latents, or the reason why it is undefined."""

    n_explained: int
    """Matched pairs in which both latents have an explanation."""
    explanation_cosine: float | None = None
    low: float | None = None
    """95 % bootstrap interval, resampling pairs."""
    high: float | None = None
    floor: float | None = None
    """Mean over the pairs of the same latents that are not matched."""
    floor_low: float | None = None
    """Between these lie 95 % of the means that random pairing of the same latents gives."""
    floor_high: float | None = None
    reason: str | None = None


def meaning(a: NDArray[np.float32], b: NDArray[np.float32], generator: np.random.Generator) -> Meaning:
    """Compares ``a`` and ``b``, both [pairs, width] at unit norm, row by row."""
    n = len(a)
    if n < 2:
        found = "only one matched pair has" if n else "no matched pair has"
        return Meaning(n, reason=f"{found} both explanations, and two are needed")
    cosines = a.astype(np.float64) @ b.T.astype(np.float64)
    own = cosines.diagonal()
    drawn = np.array([own[generator.integers(n, size=n)].mean() for _ in range(RESAMPLES)])
    chance = np.array([_random_pairing(cosines, generator) for _ in range(RESAMPLES)])
    low, high = np.percentile(drawn, LEVEL)
    floor_low, floor_high = np.percentile(chance, LEVEL)
    floor = (cosines.sum() - own.sum()) / (n * (n - 1))
    return Meaning(n, float(own.mean()), float(low), float(high), float(floor), float(floor_low), float(floor_high))


def _random_pairing(cosines: NDArray[np.float64], generator: np.random.Generator) -> float:
    """Pairs every latent with the next one on a random circle, so that none meets its own match."""
    circle = generator.permutation(len(cosines))
    return float(cosines[circle, np.roll(circle, -1)].mean())
