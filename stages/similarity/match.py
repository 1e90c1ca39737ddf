"""One-to-one matching of two coders' latents by any similarity.

While it fits, the assignment with the largest sum (Hungarian algorithm, ``scipy.optimize.linear_sum_assignment``); beyond,
the pairs that are each other's nearest, found without the whole matrix.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stages.similarity.blocks import Similarity

MOST = 20_000
"""Matrices of more cells than the square of this are not assigned; that many take 3.2 GB."""

STRIP = 256
"""Rows that are looked through at once for the largest value of every column."""


class Matches(NamedTuple):
    """Matched latents, in the order of ``latents_a``; no latent is in two pairs."""

    latents_a: NDArray[np.int32]
    latents_b: NDArray[np.int32]
    method: Literal["assignment", "mutual"] | None
    """By ``assignment`` the coder with fewer latents is matched whole; by ``mutual`` nearest neighbours it need not be. None
    where nothing can be matched."""


class Nearest(NamedTuple):
    """The nearest latent of the other coder; the first of several that are as near."""

    of_a: NDArray[np.int64]
    """[rows] the latent of B that is nearest to each of the similarity's rows."""
    values_a: NDArray[np.float32]
    of_b: NDArray[np.int64]
    """[columns] the latent of A that is nearest to each of its columns."""
    values_b: NDArray[np.float32]


def match(similarity: Similarity, found: Nearest | None = None) -> Matches:
    """Matches latents one to one, by assignment while it fits, else by mutual nearest neighbours.

    ``found`` are the nearest neighbours, if they are known already.
    """
    if len(similarity.rows) * len(similarity.columns) <= MOST**2:
        return assign(similarity)
    return mutual(similarity, found or nearest(similarity))


def assign(similarity: Similarity) -> Matches:
    """Matches as many latents as the smaller coder has, so that the similarities add up to most."""
    from scipy.optimize import linear_sum_assignment

    n, m = len(similarity.rows), len(similarity.columns)
    cost = np.empty((min(n, m), max(n, m)))  # SciPy would copy float32, and a tall matrix
    for row, column, values in similarity.blocks():
        part = -values.cpu().numpy()
        r, c = part.shape
        if n <= m:
            cost[row : row + r, column : column + c] = part
        else:
            cost[column : column + c, row : row + r] = part.T
    short, long = linear_sum_assignment(cost)
    rows, columns = (short, long) if n <= m else (long, short)
    order = np.argsort(rows)
    return _matches(similarity.rows[rows[order]], similarity.columns[columns[order]], "assignment")


def mutual(similarity: Similarity, found: Nearest) -> Matches:
    """Matches the latents of which each is the other's nearest."""
    back = found.of_b[np.searchsorted(similarity.columns, found.of_a)]
    both = back == similarity.rows
    return _matches(similarity.rows[both], found.of_a[both], "mutual")


def nearest(similarity: Similarity) -> Nearest:
    """Finds the nearest latent of the other coder for every latent of either, in one pass over the blocks."""
    n, m = len(similarity.rows), len(similarity.columns)
    best_a, best_b = _Best(n), _Best(m)
    for row, column, values in similarity.blocks():
        best_a.take(row, column, *(found.cpu().numpy() for found in values.max(dim=1)))
        for first in range(0, len(values), STRIP):
            strip = values[first : first + STRIP]
            top = strip.amax(dim=0).cpu().numpy()
            better = np.flatnonzero(top > best_b.values[column : column + len(top)])
            # Where the largest value of a column is costs ten times as much as how large it is, and few columns improve.
            places = strip[:, torch.from_numpy(better).to(strip.device)].argmax(dim=0).cpu().numpy()
            best_b.put(column + better, top[better], row + first + places)
    return Nearest(similarity.columns[best_a.places], best_a.values, similarity.rows[best_b.places], best_b.values)


class _Best:
    """The largest values so far and where they were; earlier blocks, which hold lower places, win ties."""

    def __init__(self, n: int) -> None:
        self.values = np.full(n, -np.inf, np.float32)
        self.places = np.zeros(n, np.int64)

    def take(self, first: int, shift: int, values: NDArray[np.float32], places: NDArray[np.int64]) -> None:
        better = np.flatnonzero(values > self.values[first : first + len(values)])
        self.put(first + better, values[better], shift + places[better])

    def put(self, here: NDArray[np.int64], values: NDArray[np.float32], places: NDArray[np.int64]) -> None:
        self.values[here], self.places[here] = values, places


def _matches(a: NDArray, b: NDArray, method: Literal["assignment", "mutual"]) -> Matches:
    return Matches(a.astype(np.int32), b.astype(np.int32), method)
