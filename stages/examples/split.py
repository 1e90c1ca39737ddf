"""Which windows of a latent explain it, which choose between explanations and which test them: no window does two of these."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages import params
from stages.examples.hashing import GAMMA, mix
from stages.examples.windows import Firing, ranges

DECILES = 10
LOW = np.uint64(2**32 - 1)


class Split(NamedTuple):
    """Numbers of the windows of a batch, increasing in no particular way."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


class Ranking(NamedTuple):
    """The windows of every latent of a batch, strongest first (the earlier of two that are as strong)."""

    order: NDArray[np.int64]
    """[windows] their numbers; those of the i-th latent take the places bounds[i]:bounds[i + 1]."""
    bounds: NDArray[np.int64]

    @property
    def edges(self) -> NDArray[np.int64]:
        """[latents, 11]: place of the first window of every decile, 1 the strongest, and the end of the last."""
        counts = np.diff(self.bounds)[:, None]
        return self.bounds[:-1, None] - (-np.arange(DECILES + 1) * counts // DECILES)


def rank(windows: Firing) -> Ranking:
    """Ranks the windows of every latent by their maximum."""
    # Floats above 0 are ordered like their bits. A number beside them makes what is sorted carry its place along.
    keys = _packed(~windows.maxima.view(np.uint32))
    _sort(keys, windows.bounds)
    return Ranking((keys & LOW).astype(np.int64), windows.bounds)


def split(windows: Firing, ranking: Ranking, keys: NDArray[np.uint64], sampling: params.Sampling) -> Split:
    """Splits the windows of every latent, by ``keys`` [latents] and the windows' places alone.

    The test and the validation windows are spread over the deciles, the train windows chosen from the rest by strategy. A
    latent with too few windows for all gets shares in the proportion that was asked for, at least one of each while
    there are enough.
    """
    counts = np.diff(ranking.bounds)
    n_train, n_validation, n_test = _shares(counts, sampling)
    hashes = mix(np.repeat(keys, counts) + windows.starts[ranking.order].astype(np.uint64) * GAMMA)
    edges = ranking.edges
    begins, sizes = edges[:, :-1], np.diff(edges, axis=1)
    deciles = np.repeat(np.tile(np.arange(DECILES, dtype=np.uint32), len(counts)), sizes.ravel())
    # Every decile in an order that means nothing.
    shuffled = _packed(deciles << np.uint32(28) | (hashes >> np.uint64(36)).astype(np.uint32))
    _sort(shuffled, ranking.bounds)
    places = (shuffled & LOW).astype(np.int64)
    for_test = spread(sizes, n_test)
    for_validation = spread(sizes - for_test, n_validation)
    test = places[ranges(begins.ravel(), for_test.ravel())]
    validation = places[ranges((begins + for_test).ravel(), for_validation.ravel())]
    taken = np.zeros(len(places), bool)
    taken[test] = taken[validation] = True

    def even(n: NDArray[np.int64]) -> NDArray[np.int64]:
        free = np.add.reduceat(np.append(~taken, False), begins.ravel(), dtype=np.int64).reshape(sizes.shape)
        free[sizes == 0] = 0
        return _first_free(places, begins.ravel(), sizes.ravel(), taken, spread(free, n).ravel())

    match sampling.train.strategy:
        case "quantile":
            train = even(n_train)
        case "top":
            train = _first_free(np.arange(len(places)), ranking.bounds[:-1], counts, taken, n_train)
        case "random":
            anyhow = _packed((hashes >> np.uint64(32)).astype(np.uint32))
            _sort(anyhow, ranking.bounds)
            train = _first_free((anyhow & LOW).astype(np.int64), ranking.bounds[:-1], counts, taken, n_train)
        case "mix":
            half = (n_train + 1) // 2
            strongest = _first_free(np.arange(len(places)), ranking.bounds[:-1], counts, taken, half)
            taken[strongest] = True
            train = np.concatenate([strongest, even(n_train - half)])
    return Split(*(np.sort(chosen) for chosen in (train, validation, test)))


def _shares(counts: NDArray[np.int64], sampling: params.Sampling) -> tuple[NDArray[np.int64], ...]:
    """How many train, validation and test windows a latent with so many windows gets; none if it has but one."""
    train, validation, test = sampling.train.n, sampling.validation.n, DECILES * sampling.test.per_decile
    total = train + validation + test
    n_validation = np.clip(counts * validation // total, min(1, validation), validation)
    n_validation = np.clip(counts - 2, 0, n_validation)
    n_test = np.clip(counts * test // total, 1, test)
    n_test = np.clip(counts - n_validation - 1, 0, n_test)
    n_train = np.where(n_test > 0, np.minimum(train, counts - n_validation - n_test), 0)
    return n_train, n_validation, n_test


def spread(rooms: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.int64]:
    """Deals ``n`` [rows] things to ``rooms`` [rows, columns] of so many places: one to each in turn, while it has room.

    Returns [rows, columns]; what finds no room is dropped.
    """
    n = np.minimum(n, rooms.sum(axis=1))[:, None]
    ordered = np.sort(rooms, axis=1)
    below = np.cumsum(ordered, axis=1)
    others = rooms.shape[1] - 1 - np.arange(rooms.shape[1])
    n_full = (below + ordered * others <= n).sum(axis=1, keepdims=True)  # rooms that are used up
    dealt = np.where(n_full > 0, np.take_along_axis(below, np.maximum(n_full - 1, 0), axis=1), 0)
    turns = np.where(n_full < rooms.shape[1], (n - dealt) // np.maximum(rooms.shape[1] - n_full, 1), ordered[:, -1:])
    counts = np.minimum(rooms, turns)
    left = n - counts.sum(axis=1, keepdims=True)
    has_room = rooms > counts
    return counts + (has_room & (np.cumsum(has_room, axis=1) <= left))


def _first_free(
    sequence: NDArray[np.int64],
    begins: NDArray[np.int64],
    sizes: NDArray[np.int64],
    taken: NDArray[np.bool_],
    n: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Returns, of every section of ``sequence`` (places), the first ``n`` that are not ``taken``."""
    free = ~taken[sequence]
    before = np.concatenate([[0], np.cumsum(free)])
    return sequence[free & (before[1:] <= np.repeat(before[begins] + n, sizes))]


def _packed(high: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Returns numbers that are ordered by ``high``, then by place, and hold the place in their lower half."""
    return high.astype(np.uint64) << np.uint64(32) | np.arange(len(high), dtype=np.uint64)


def _sort(keys: NDArray[np.uint64], bounds: NDArray[np.int64]) -> None:
    """Sorts every section in place."""
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        keys[first:last].sort()
