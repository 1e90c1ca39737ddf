"""The windows of one latent: where it fires, ranked, split and gathered."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages import params

DECILES = 10


class Firing(NamedTuple):
    """The windows in which a latent fires, strongest first (ties by place in the corpus)."""

    windows: NDArray[np.int64]
    """Window numbers: flat position // window length."""
    maxima: NDArray[np.float32]
    deciles: NDArray[np.int8]
    """1 … 10 by rank of the window's maximum, 1 the strongest; equal counts as far as they divide."""


class Split(NamedTuple):
    """Indices into Firing: the windows to explain from and the windows to test with; no window is in both."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def generator_of(seed: int, coder: str, latent: int) -> np.random.Generator:
    """The only randomness of a latent's sample, so that it does not depend on which others are sampled."""
    return np.random.default_rng([seed, zlib.crc32(coder.encode()), latent])


def firing(positions: NDArray, values: NDArray[np.float32], window: int) -> Firing:
    """Groups a latent's events, in the order of ``positions``, by window and ranks the windows by their maximum."""
    numbers = positions.astype(np.int64) // window
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    if not len(starts):
        return Firing(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int8))
    maxima = np.maximum.reduceat(values, starts)
    order = np.lexsort((numbers[starts], -maxima))
    ranks = np.arange(len(order))
    deciles = (ranks * DECILES // len(order) + 1).astype(np.int8)
    return Firing(numbers[starts][order], maxima[order], deciles)


def split(found: Firing, train: params.Train, per_decile: int, generator: np.random.Generator) -> Split:
    """Chooses test windows, evenly over the deciles, then train windows from the rest.

    A latent with too few windows for both gets shares in the proportion that was asked for, at least one each.
    """
    n = len(found.windows)
    wanted_test = DECILES * per_decile
    if n < 2:
        return Split(np.arange(n), np.empty(0, np.int64))
    share = n * wanted_test // (wanted_test + train.n)
    n_test = min(wanted_test, max(1, share))
    shuffled = generator.permutation(n)
    even = _round_robin(shuffled, found.deciles)
    test = np.sort(even[:n_test])
    free = np.setdiff1d(np.arange(n), test)
    shuffled = free[generator.permutation(len(free))]
    match train.strategy:
        case "top":
            chosen = free[: train.n]
        case "random":
            chosen = shuffled[: train.n]
        case "quantile":
            chosen = _round_robin(shuffled, found.deciles)[: train.n]
        case "mix":
            strongest = free[: (train.n + 1) // 2]
            others = shuffled[~np.isin(shuffled, strongest)]
            chosen = np.concatenate([strongest, _round_robin(others, found.deciles)])[: train.n]
    return Split(np.sort(chosen), test)


def _round_robin(indices: NDArray[np.int64], deciles: NDArray[np.int8]) -> NDArray[np.int64]:
    """Reorders ``indices`` so that any prefix holds the deciles as evenly as possible, keeping the order in each."""
    groups = deciles[indices]
    order = np.argsort(groups, kind="stable")
    turn = np.empty(len(indices), np.int64)
    counts = np.bincount(groups, minlength=DECILES + 1)
    turn[order] = np.arange(len(indices)) - np.repeat(np.cumsum(counts) - counts, counts)
    return indices[np.lexsort((groups, turn))]


def silent_windows(
    n: int, total: int, firing_windows: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draws up to ``n`` of the ``total`` windows, without replacement, in which the latent never fires."""
    taken = np.sort(firing_windows)
    free = total - len(taken)
    n = min(n, free)
    if free < 4 * n:
        rest = np.setdiff1d(np.arange(total), taken, assume_unique=True)
        return np.sort(rest[generator.permutation(free)[:n]])
    chosen = np.empty(0, np.int64)
    while len(chosen) < n:
        drawn = generator.integers(total, size=2 * n)
        place = np.searchsorted(taken, drawn)
        fires = taken[np.minimum(place, len(taken) - 1)] == drawn if len(taken) else np.zeros(len(drawn), bool)
        merged = np.concatenate([chosen, drawn[~fires]])
        chosen = merged[np.sort(np.unique(merged, return_index=True)[1])][:n]
    return np.sort(chosen)


def gather(
    windows: NDArray[np.int64], positions: NDArray, values: NDArray[np.float32], window: int
) -> NDArray[np.float32]:
    """Returns the latent's activation at every token of ``windows``, [windows, window]; 0 where it is silent."""
    dense = np.zeros((len(windows), window), np.float32)
    first = np.searchsorted(positions, windows * window)
    last = np.searchsorted(positions, (windows + 1) * window)
    lengths = last - first
    rows = np.repeat(np.arange(len(windows)), lengths)
    events = np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    dense[rows, positions[events] - windows[rows] * window] = values[events]
    return dense
