"""Whether people who rated the same agree: Krippendorff's alpha for ordered ratings, and how often two gave the same.

Krippendorff, Computing Krippendorff's Alpha-Reliability (2011). Any number of raters may have rated any of the things; 1 is perfect
agreement, 0 what chance comes to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.bootstrap import RESAMPLES, Figure, figure

NOTHING = "nothing was rated twice"
NO_CHOICE = "all ratings are the same"


class Agreement(NamedTuple):
    """How far people agree."""

    alpha: Figure
    """Over the things that several people rated, which are resampled whole."""
    same: float | None
    """The share of pairs of ratings of the same thing that are equal; None where there is no pair."""
    n: int
    """Things that several people rated."""


def agreement(ratings: Sequence[Sequence[int]], scale: range, generator: np.random.Generator) -> Agreement:
    """Returns how far the ``ratings`` of each thing, one of every person who rated it, agree."""
    several = [found for found in ratings if len(found) > 1]
    if not several:
        return Agreement(Figure(None, reason=NOTHING), None, 0)
    counts = np.array([[found.count(value) for value in scale] for found in several], np.float64)
    m = counts.sum(axis=1)
    # Pairs of ratings of the same thing, [things, values, values]; those of one rating with itself left out.
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(scale))
    same = np.trace(pairs, axis1=1, axis2=2).sum() / pairs.sum()
    pairs /= (m - 1)[:, None, None]
    n = len(several)
    weights = np.vstack([np.ones(n), generator.multinomial(n, np.full(n, 1 / n), RESAMPLES)])
    coincidences = np.tensordot(weights, pairs, 1)
    return Agreement(figure(_alpha(coincidences), NO_CHOICE), float(same), n)


def _alpha(coincidences: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] of [n, values, values] matrices of coincidences; not a number where all ratings are the same."""
    totals = coincidences.sum(axis=2)
    # The distance of two values is how many ratings lie between them, their own counted by half.
    below = np.cumsum(totals, axis=1) - totals / 2
    distance = (below[:, :, None] - below[:, None, :]) ** 2
    observed = (coincidences * distance).sum(axis=(1, 2))
    expected = (totals[:, :, None] * totals[:, None, :] * distance).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - (totals.sum(axis=1) - 1) * observed / expected, np.nan)
