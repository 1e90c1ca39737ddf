"""Windows around the tokens on which a latent fires most, rather than blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.examples.batches import Events
from stages.examples.grid import Grid
from stages.examples.windows import Blocks, Firing, select


def centred(events: Events, found: Blocks, grid: Grid, centre: int) -> Firing:
    """Returns windows whose strongest token stands at column ``centre``, or as near to it as the stretch allows.

    Around the strongest token of every block lies a window. Those that hold a stronger token of the latent are left out, and
    of windows that overlap the stronger one stays, so that none shares a token with another.
    """
    owners = np.repeat(np.arange(len(found.bounds) - 1), np.diff(found.bounds))
    is_peak = events.values == np.repeat(found.maxima, found.last - found.first)
    peaks = np.flatnonzero(is_peak)
    peaks = peaks[np.searchsorted(peaks, found.first)]  # the first of a block
    positions = events.positions[peaks].astype(np.int64)
    begin, end = grid.stretch(positions)
    starts = np.maximum(np.minimum(positions - centre, end - grid.window), begin)
    # One number orders events by latent and place.
    total = grid.n_blocks * grid.window + 1
    places = np.repeat(np.arange(len(found.bounds) - 1) * total, np.diff(events.bounds)) + events.positions
    first = np.searchsorted(places, owners * total + starts)
    last = np.searchsorted(places, owners * total + starts + grid.window)
    windows = Firing(found.bounds, starts, found.maxima, first, last)
    windows = select(windows, (found.maxima > 0) & (end - begin >= grid.window))
    pairs = np.stack([windows.first, windows.last], axis=1).ravel()
    highest = np.maximum.reduceat(np.append(events.values, np.float32(0)), pairs)[::2] if len(pairs) else windows.maxima
    windows = select(windows, windows.maxima >= highest)
    return select(windows, _apart(windows, grid.window))


def _apart(windows: Firing, length: int) -> NDArray[np.bool_]:
    """Chooses windows that don't overlap, the strongest first, the earlier of two that are as strong."""
    owners = np.repeat(np.arange(len(windows.bounds) - 1), np.diff(windows.bounds))
    chosen = np.zeros(len(owners), bool)
    left = np.arange(len(owners))
    while len(left):
        beaten, pairs = np.zeros(len(left), bool), []
        for step in range(1, len(left)):
            one, other = left[:-step], left[step:]
            close = (owners[one] == owners[other]) & (windows.starts[other] - windows.starts[one] < length)
            if not close.any():
                break
            near = np.flatnonzero(close)
            later_wins = windows.maxima[other[near]] > windows.maxima[one[near]]
            beaten[near[later_wins]] = True
            beaten[near[~later_wins] + step] = True
            pairs.append(np.stack([near, near + step]))
        chosen[left[~beaten]] = True
        done = ~beaten
        for near, far in pairs:
            done[near] |= ~beaten[far]
            done[far] |= ~beaten[near]
        left = left[~done]
    return chosen
