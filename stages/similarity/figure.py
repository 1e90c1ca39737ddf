"""A number with its interval, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = (2.5, 97.5)
DRAWS = 2**22
"""Values drawn at once: 32 MB."""


class Figure(NamedTuple):
    """A number and its 95 % interval; None with a reason where it is undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    """What it was made from: pairs of latents, latents or draws."""
    reason: str | None = None


def facts(found: Any) -> dict[str, Any]:
    """Returns a named tuple as a mapping, without what is None."""
    return {key: value for key, value in found._asdict().items() if value is not None}


def mean(values: NDArray, generator: np.random.Generator) -> Figure:
    """Returns the mean of ``values`` [n] without the NaN, and its percentile bootstrap interval, resampling values."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return Figure(reason="there is no value")
    drawn = np.concatenate([values[draw].mean(axis=1) for draw in resamples(len(values), generator)])
    low, high = np.percentile(drawn, LEVEL)
    return Figure(float(values.mean()), float(low), float(high), len(values))


def resamples(n: int, generator: np.random.Generator, times: int = RESAMPLES) -> Iterator[NDArray[np.int32]]:
    """Yields draws of ``n`` out of ``n`` with replacement, [some, n] at once, ``times`` in all."""
    at_once = max(1, DRAWS // n)
    for first in range(0, times, at_once):
        yield generator.integers(n, size=(min(at_once, times - first), n), dtype=np.int32)


def range_of(values: NDArray, of: float, n: int) -> Figure:
    """Returns ``of`` with the range in which 95 % of the drawn ``values`` lie."""
    low, high = np.percentile(values, LEVEL)
    return Figure(float(of), float(low), float(high), n)
