"""Reading the activations of many latents at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.latents.store import LatentStore

EVENTS = 2**21
"""Events of a batch, about; a latent that has more is one by itself."""
LATENTS = 1024
"""Latents of a batch at most: it bounds the windows that are chosen at once."""
GAP = 2**12
"""Events between two latents up to which both are read at once: two reads take longer."""


class Events(NamedTuple):
    """Where some latents fire, and how strongly."""

    latents: NDArray[np.int64]
    """[latents] increasing."""
    bounds: NDArray[np.int64]
    """[latents + 1]: the events of the i-th are bounds[i]:bounds[i + 1]."""
    positions: NDArray
    """Flat, increasing within a latent."""
    values: NDArray[np.float32]


def text_only(events: Events, length: int, skipped: int) -> Events:
    """Returns the events that are not in the first ``skipped`` columns of rows of ``length`` tokens, which are no text."""
    if not skipped:
        return events
    kept = events.positions % length >= skipped
    before = np.concatenate([[0], np.cumsum(kept)])
    return Events(events.latents, before[events.bounds], events.positions[kept], events.values[kept])


def batches(store: LatentStore, latents: NDArray[np.int64]) -> Iterator[Events]:
    """Yields the events of ``latents``, which are increasing, batch by batch."""
    sizes = np.diff(store.indptr)[latents]
    ends = np.cumsum(sizes)
    first = 0
    while first < len(latents):
        room = ends[first] - sizes[first] + EVENTS
        last = int(np.searchsorted(ends, room, side="right"))
        last = min(max(last, first + 1), first + LATENTS)
        yield _read(store, latents[first:last])
        first = last


def _read(store: LatentStore, latents: NDArray[np.int64]) -> Events:
    begins, ends = store.indptr[latents], store.indptr[latents + 1]
    cuts = np.flatnonzero(begins[1:] - ends[:-1] > GAP) + 1
    found = []
    for part in np.split(np.arange(len(latents)), cuts):
        first, last = int(latents[part[0]]), int(latents[part[-1]])
        positions, values, offsets = store.span(first, last + 1)
        if last - first + 1 > len(part):
            wanted = np.zeros(last - first + 1, bool)
            wanted[latents[part] - first] = True
            kept = np.repeat(wanted, np.diff(offsets))
            positions, values = positions[kept], values[kept]
        found.append((positions, values))
    bounds = np.concatenate([[0], np.cumsum(ends - begins)])
    positions, values = found[0] if len(found) == 1 else map(np.concatenate, zip(*found, strict=True))
    return Events(latents, bounds, positions, values)
