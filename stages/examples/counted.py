"""How often and how strongly the chosen latents fire, on positions that are text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.corpus.tokens import Tokens
from stages.examples.batches import batches, text_only
from stages.latents import spec
from stages.latents.statistics import sums
from stages.latents.store import LatentStore


class Counted(NamedTuple):
    """Statistics of the chosen latents, in their order."""

    latents: NDArray[np.int64]
    """Increasing."""
    counts: NDArray[np.int64]
    """Positions on which each fires."""
    largest: NDArray[np.float32]
    total: NDArray[np.float64]
    histogram: NDArray[np.int64]
    """[latents, bars] equal bars from the smaller of 0 and the minimum to the maximum."""
    ordinary: int
    """Positions that count, at least 1."""


def counted(store: LatentStore, tokens: Tokens, latents: NDArray[np.int64], skipped: int) -> Counted:
    """Returns the statistics of ``latents`` without the first ``skipped`` columns of every row: the store's own if there are none."""
    ordinary = tokens.rows * tokens.context_length - tokens.meta["special_positions"]
    if not skipped:
        counts, largest, total, histogram = (
            store.statistic(name)[latents] for name in ("count", "max", "sum", "histogram")
        )
        return Counted(latents, counts, largest, total, histogram, max(1, ordinary))
    ordinary -= int((~tokens.vocabulary.special[tokens.matrix[:, :skipped]]).sum())
    n = len(latents)
    counts, largest, total = np.zeros(n, np.int64), np.zeros(n, np.float32), np.zeros(n)
    histogram = np.zeros((n, spec.BINS), np.int64)
    place = 0
    for events in batches(store, latents):
        text = text_only(events, tokens.context_length, skipped)
        here = slice(place, place := place + len(text.latents))
        counts[here] = np.diff(text.bounds)
        if not len(text.values):
            continue
        live = np.flatnonzero(counts[here])
        extremes = np.zeros((2, len(text.latents)), np.float32)
        for row, of in enumerate((np.minimum, np.maximum)):
            extremes[row, live] = of.reduceat(text.values, text.bounds[live])
        largest[here] = extremes[1]
        found = sums(text.values, 0, text.bounds, extremes)
        part = slice(here.start + found.first, here.start + found.first + len(found.total))
        total[part], histogram[part] = found.total, found.histogram
    return Counted(latents, counts, largest, total, histogram, max(1, ordinary))
