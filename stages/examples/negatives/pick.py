"""Choosing blocks, in an order of preference, among those in which a latent is silent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stages.examples.hashing import GAMMA, below, mix
from stages.examples.negatives import Found
from stages.examples.windows import Busy

MOST_DRAWS = 8
"""Times the wanted number that is drawn at most before all that there is gets looked at."""
BITS = 24
"""Of a packed number that say which candidate a block was."""

Lookup = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]
"""(owners, places in their pools) -> blocks."""


def first(candidates: NDArray[np.int64], busy: Busy, n: int, owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the first ``n`` distinct silent blocks of every row of candidates, in their order; -1 where there are fewer.

    ``candidates`` [rows, m] are blocks, the preferred first, -1 for none; ``owners`` [rows] increase. Returns [rows, n].
    """
    m = candidates.shape[1]
    packed = np.sort(candidates << BITS | np.arange(m), axis=1)
    blocks, places = packed >> BITS, packed & ((1 << BITS) - 1)
    good = blocks >= 0
    good[:, 1:] &= blocks[:, 1:] != blocks[:, :-1]
    good[good] = ~busy.holds(np.repeat(owners, m)[good.ravel()], blocks[good])
    preferred = np.sort(np.where(good, places, m), axis=1)[:, :n]
    padded = np.concatenate([candidates, np.full((len(candidates), 1), -1)], axis=1)
    found = np.take_along_axis(padded, preferred, axis=1)
    return found if m >= n else np.pad(found, ((0, 0), (0, n - m)), constant_values=-1)


def found(chosen: NDArray[np.int64]) -> Found:
    """Turns [latents, n] blocks, -1 for none, into what a source returns."""
    owners, columns = np.nonzero(chosen >= 0)
    return Found(owners, chosen[owners, columns])


def draw(keys: NDArray[np.uint64], pools: NDArray[np.int64], lookup: Lookup, busy: Busy, n: int) -> Found:
    """Draws up to ``n`` distinct silent blocks for every latent from its pool.

    Places in the pool are drawn, by ``keys`` alone, until enough blocks are found. A pool in which they are rare, or that
    is small, is looked at as a whole.
    """
    chosen = np.full((len(keys), n), -1, np.int64)
    left = np.flatnonzero(pools > 0)
    draws = n + n // 4 + 16
    while len(left) and draws <= MOST_DRAWS * n + 64:
        draws_of = np.repeat(keys[left], draws) + np.tile(np.arange(1, draws + 1, dtype=np.uint64) * GAMMA, len(left))
        owners = np.repeat(left, draws)
        blocks = lookup(owners, below(mix(draws_of), pools[owners])).reshape(-1, draws)
        chosen[left] = first(blocks, busy, n, left)
        left = left[(chosen[left] < 0).any(axis=1)]
        draws *= 4
    for latent in left.tolist():
        everything = np.arange(pools[latent])
        blocks = np.sort(lookup(np.full(len(everything), latent), everything))
        blocks = blocks[np.diff(blocks, prepend=-1) > 0]  # np.unique hashes, which is slower by far
        silent = blocks[~busy.holds(np.full(len(blocks), latent), blocks)]
        order = np.argsort(mix(keys[latent] ^ mix(silent)), kind="stable")[:n]
        chosen[latent] = -1
        chosen[latent, : len(order)] = silent[order]
    return found(chosen)
