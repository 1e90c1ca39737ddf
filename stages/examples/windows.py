"""The windows in which latents fire, and those in which they are silent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.examples.batches import Events
from stages.examples.grid import Grid


class Firing(NamedTuple):
    """The windows in which the latents of a batch fire, in the order of latent and place; none overlaps another."""

    bounds: NDArray[np.int64]
    """[latents + 1]: the windows of the i-th latent are bounds[i]:bounds[i + 1]."""
    starts: NDArray[np.int64]
    """[windows] flat position of the first token."""
    maxima: NDArray[np.float32]
    """Above 0."""
    first: NDArray[np.int64]
    """The events of a window are first:last of the batch."""
    last: NDArray[np.int64]


class Busy(NamedTuple):
    """The blocks that can't show a latent's silence, because it is active there or they share tokens with its windows."""

    keys: NDArray[np.int64]
    """Increasing: place of the latent in the batch * n_blocks + block."""
    n_blocks: int

    def holds(self, owners: NDArray[np.int64], blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the block is one of the latent's; fast when both increase."""
        wanted = owners * self.n_blocks + blocks
        if not len(self.keys):
            return np.zeros(len(wanted), bool)
        place = np.searchsorted(self.keys, wanted)
        return self.keys[np.minimum(place, len(self.keys) - 1)] == wanted

    def add(self, owners: NDArray[np.int64], blocks: NDArray[np.int64]) -> Busy:
        """Returns these and the blocks that are given."""
        both = np.concatenate([self.keys, owners * self.n_blocks + blocks])
        return Busy(np.sort(both, kind="stable"), self.n_blocks)  # of two ordered runs, so it is but a merge


class Blocks(NamedTuple):
    """All blocks in which the latents of a batch have activations, in the order of latent and place."""

    bounds: NDArray[np.int64]
    numbers: NDArray
    maxima: NDArray[np.float32]
    """May be below 0 where a latent is signed."""
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def blocks(events: Events, window: int) -> Blocks:
    """Groups events by latent and block."""
    numbers = events.positions // window
    is_first = np.ones(len(numbers), bool)
    np.not_equal(numbers[1:], numbers[:-1], out=is_first[1:])
    is_first[events.bounds[:-1][np.diff(events.bounds) > 0]] = True
    first = np.flatnonzero(is_first)
    maxima = np.maximum.reduceat(events.values, first) if len(first) else events.values
    last = np.append(first[1:], len(numbers)) if len(first) else first
    return Blocks(np.searchsorted(first, events.bounds), numbers[first], maxima, first, last)


def firing(found: Blocks, grid: Grid) -> Firing:
    """Returns the usable blocks in which a latent is above 0."""
    windows = Firing(found.bounds, found.numbers.astype(np.int64), found.maxima, found.first, found.last)
    chosen = found.maxima > 0
    if grid.blocks is not None:
        chosen &= grid.usable(windows.starts)
    windows = windows if chosen.all() else select(windows, chosen)
    return windows._replace(starts=windows.starts * grid.window)


def busy(found: Blocks, windows: Firing, grid: Grid) -> Busy:
    """Returns every block that holds an activation, of whatever sign, or a token of a window."""
    owners = np.repeat(np.arange(len(found.bounds) - 1), np.diff(found.bounds))
    active = Busy(owners * grid.n_blocks + found.numbers, grid.n_blocks)
    if not (windows.starts % grid.window).any():
        return active
    owners = np.repeat(np.arange(len(windows.bounds) - 1), np.diff(windows.bounds))
    behind = (windows.starts + grid.window - 1) // grid.window
    return active.add(owners, windows.starts // grid.window).add(owners, behind)


def select(windows: Firing, chosen: NDArray[np.bool_]) -> Firing:
    """Returns the windows that are ``chosen``."""
    before = np.concatenate([[0], np.cumsum(chosen)])
    return Firing(
        before[windows.bounds],
        windows.starts[chosen],
        windows.maxima[chosen],
        windows.first[chosen],
        windows.last[chosen],
    )


def gather(windows: Firing, chosen: NDArray[np.int64], events: Events, length: int) -> NDArray[np.float32]:
    """Returns the activations at every token of the windows with these numbers, [chosen, length]; 0 where silent."""
    dense = np.zeros((len(chosen), length), np.float32)
    first, lengths = windows.first[chosen], windows.last[chosen] - windows.first[chosen]
    rows = np.repeat(np.arange(len(chosen)), lengths)
    at = ranges(first, lengths)
    dense[rows, events.positions[at] - windows.starts[chosen][rows]] = events.values[at]
    return dense


def ranges(first: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns first[0], first[0] + 1, … (lengths[0] of them), then the same for first[1], and so on."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(first - before, lengths) + np.arange(lengths.sum())
