"""Sums and histograms of every latent, gathered while the store is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.latents import spec

EVENTS = 2**17
"""Events at once: what is computed of them stays in the processor's cache."""


@dataclass(frozen=True)
class Sums:
    """What the events of one shard add to the latents from ``first`` on."""

    first: int
    total: NDArray[np.float64]
    square: NDArray[np.float64]
    histogram: NDArray[np.int64]


def sums(values: NDArray[np.float32], begin: int, indptr: NDArray[np.int64], extremes: NDArray[np.float32]) -> Sums:
    """Returns what the events from ``begin`` on, of these ``values``, add up to.

    ``indptr`` [latents + 1] and ``extremes`` [2, latents] are those of the whole store. Bars of the histogram are of equal
    width between the smallest and the largest value of the latent, and 0, and closed above.
    """
    first = int(np.searchsorted(indptr, begin, side="right")) - 1
    last = int(np.searchsorted(indptr, begin + len(values), side="left"))
    n = last - first
    found = Sums(first, np.zeros(n), np.zeros(n), np.zeros((n, spec.BINS), np.int64))
    with np.errstate(invalid="ignore", divide="ignore"):  # a latent that never fires has no extremes
        low = np.minimum(extremes[0, first:last], 0).astype(np.float64)
        scale = spec.BINS / (np.maximum(extremes[1, first:last], 0) - low)
    at = begin
    while at < begin + len(values):
        stop = min(at + EVENTS, begin + len(values))
        here = int(np.searchsorted(indptr, at, side="right")) - 1
        behind = int(np.searchsorted(indptr, stop, side="left"))
        bounds = np.clip(indptr[here : behind + 1], at, stop) - at
        lengths = np.diff(bounds)
        live = np.flatnonzero(lengths) + here - first
        starts = bounds[:-1][lengths > 0]
        wide = values[at - begin : stop - begin].astype(np.float64)
        found.total[live] += np.add.reduceat(wide, starts)
        found.square[live] += np.add.reduceat(wide * wide, starts)
        part = slice(here - first, behind - first)
        wide -= np.repeat(low[part], lengths)
        wide *= np.repeat(scale[part], lengths)
        # Bars are closed above, so that the maximum falls into the last one and 0 would fall below the first.
        bins = np.clip(np.ceil(wide, out=wide).astype(np.int64) - 1, 0, spec.BINS - 1)
        bins += np.repeat(np.arange(behind - here) * spec.BINS, lengths)
        found.histogram[part] += np.bincount(bins, minlength=(behind - here) * spec.BINS).reshape(-1, spec.BINS)
        at = stop
    return found


def arrays(parts: list[Sums], counts: NDArray[np.int64], extremes: NDArray[np.float32]) -> dict[str, NDArray]:
    """Returns the statistics of every latent, from those of all shards in order."""
    n = len(counts)
    total, square, histogram = np.zeros(n), np.zeros(n), np.zeros((n, spec.BINS), np.int64)
    for part in parts:
        latents = slice(part.first, part.first + len(part.total))
        total[latents] += part.total
        square[latents] += part.square
        histogram[latents] += part.histogram
    low, high = np.where(counts > 0, extremes, 0).astype(np.float32)
    return {"count": counts, "histogram": histogram, "max": high, "min": low, "square_sum": square, "sum": total}
