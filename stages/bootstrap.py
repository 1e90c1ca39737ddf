"""A number with its 95 % interval, or the reason why there is none; intervals are those of the percentile bootstrap.

Where a formula is not the mean it takes the observed numbers as row 0 and those of the resamples as further rows, so that a value and
its interval come from one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = (0.025, 0.975)
DRAWS = 2**22
"""Values drawn at once: 32 MB."""


class Figure(NamedTuple):
    """A value and its 95 % interval, or the reason why it is undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    """What it was made from, such as latents, pairs of them or draws; 0 where whoever holds it says so himself."""
    reason: str | None = None


class Figures(NamedTuple):
    """Figures of several latents, without their reasons; what is not a number is not known."""

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def facts(found: Any) -> dict[str, Any]:
    """Returns a named tuple as a mapping, without what is None."""
    return {key: value for key, value in found._asdict().items() if value is not None}


def figure(values: NDArray[np.float64], reason: str) -> Figure:
    """Returns the figure of [1 + resamples] ``values``, or ``reason`` if the first is no number.

    The interval is that of the resamples in which the figure is defined.
    """
    value, low, high = (known(of[0]) for of in figures(values[None]))
    return Figure(reason=reason) if value is None else Figure(value, low, high)


def known(number: float) -> float | None:
    """Returns ``number``, None where it is none."""
    return None if np.isnan(number) else float(number)


def figures(values: NDArray[np.float64]) -> Figures:
    """Returns the figures of [latents, 1 + resamples] ``values``; see ``figure``."""
    value = np.where(np.isfinite(values[:, 0]), values[:, 0], np.nan)
    ordered = np.sort(values[:, 1:], axis=1).astype(np.float64, copy=False)  # what is no number comes last
    last = np.isfinite(ordered).sum(axis=1) - 1
    rows = np.arange(len(values))

    def at(level: float) -> NDArray[np.float64]:
        """As ``np.interp`` finds it among those that are numbers."""
        place = level * last
        below = place.astype(np.int64)
        lower = ordered[rows, below]
        upper = ordered[rows, np.minimum(below + 1, np.maximum(last, 0))]
        between = np.where(place == below, lower, (upper - lower) * (place - below) + lower)
        return np.where((last < 0) | np.isnan(value), np.nan, between)

    with np.errstate(invalid="ignore"):
        return Figures(value, *map(at, LEVEL))


def mean(values: NDArray[np.floating], generator: np.random.Generator, reason: str = "there is no value") -> Figure:
    """Returns the mean of ``values`` [n] without the NaN, resampling values, or ``reason`` if none is left."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return Figure(reason=reason)
    drawn = np.concatenate([values[draw].mean(axis=1) for draw in resamples(len(values), generator)])
    return range_of(drawn, values.mean(), len(values))


def resamples(n: int, generator: np.random.Generator) -> Iterator[NDArray[np.int32]]:
    """Yields draws of ``n`` out of ``n`` with replacement, [some, n] at once, ``RESAMPLES`` in all."""
    at_once = max(1, DRAWS // n)
    for first in range(0, RESAMPLES, at_once):
        yield generator.integers(n, size=(min(at_once, RESAMPLES - first), n), dtype=np.int32)


def range_of(drawn: NDArray[np.floating], value: float, n: int) -> Figure:
    """Returns ``value`` with the range in which 95 % of the ``drawn`` ones lie, those that are no numbers left out."""
    low, high = np.nanquantile(drawn, LEVEL)
    return Figure(float(value), float(low), float(high), n)
