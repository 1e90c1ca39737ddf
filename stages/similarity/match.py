"""One-to-one matching of two coders' latents by the cosine of their decoder directions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.errors import GlossaError

MOST_CELLS = 2**30
"""Largest matrix of cosines: 32,768 by 32,768, matched in some minutes with 13 GB."""


class Matches(NamedTuple):
    """Matched latents in the order of ``latents_a``; the coder with fewer latents is matched whole."""

    latents_a: NDArray[np.int32]
    latents_b: NDArray[np.int32]
    cosines: NDArray[np.float32]
    random_cosine: float | None
    """Mean over all pairs of latents that are not matched to one another; None where there are none."""


def unit(vectors: NDArray) -> NDArray[np.float32]:
    """Returns ``vectors`` [n, width] at unit norm; a zero vector stays one."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def match(a: NDArray, b: NDArray) -> Matches:
    """Matches the rows of ``a`` [latents_a, width] and ``b`` [latents_b, width] so that the cosines add up to most.

    Raises:
        GlossaError: the widths differ, or the matrix of cosines would not fit in memory.
    """
    from scipy.optimize import linear_sum_assignment

    if a.shape[1] != b.shape[1]:
        raise GlossaError(
            f"decoder directions should have the same width to be compared, found {a.shape[1]} and {b.shape[1]}; "
            "compare coders that write to the same space"
        )
    if len(a) * len(b) > MOST_CELLS:
        raise GlossaError(
            f"at most {MOST_CELLS:,} pairs of latents can be weighed, found {len(a):,} by {len(b):,}; "
            "compare smaller coders"
        )
    cosines = unit(a) @ unit(b).T
    latents_a, latents_b = linear_sum_assignment(cosines, maximize=True)
    matched = cosines[latents_a, latents_b]
    others = cosines.size - len(matched)
    rest = float(cosines.sum(dtype=np.float64) - matched.sum(dtype=np.float64)) / others if others else None
    return Matches(latents_a.astype(np.int32), latents_b.astype(np.int32), matched, rest)
