"""How alike latents fire on the tokens that two coders share, from their stores.

A store is a sparse matrix of latents by tokens, so all sums of products are products of sparse matrices, taken group of latents
by group of latents: memory is bounded by ``EVENTS`` and ``CELLS``, whatever the coders and the corpus.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from copy import copy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from stages.bootstrap import Figure
from stages.latents.store import LatentStore
from stages.latents.text_only import TextOnly
from stages.similarity.blocks import CELLS, Block

EVENTS = 2**25
"""Activations of each coder held at once: 400 MB, and as much again for one of them transposed."""
PARTS = 10
"""Parts of the corpus that are left out in turn for the interval of CKA."""
Z = 1.959964
"""Half the width of a 95 % interval in standard errors."""


class Stored:
    """The activations of one coder over ``n_tokens`` ordinary tokens, those of zero variance left out."""

    def __init__(self, store: LatentStore | TextOnly, n_tokens: int, events: int = EVENTS) -> None:
        self.store, self.n_tokens, self._events = store, n_tokens, events
        self.mean = store.statistic("sum") / n_tokens
        variance = store.statistic("square_sum") / n_tokens - self.mean**2
        self.deviation = np.sqrt(np.maximum(variance, 0))
        self.latents = np.flatnonzero((store.statistic("count") > 0) & (self.deviation > 0))
        self._whole = store.csr() if store.indptr[-1] <= events else None
        self._squares: NDArray[np.float64] | None = None

    @property
    def size(self) -> int:
        """Bytes held."""
        return 0 if self._whole is None else self._whole.data.nbytes + self._whole.indices.nbytes

    def groups(self) -> Iterator[tuple[int, sparse.csr_array]]:
        """Yields (index into ``latents`` of the first, [latents, positions]) of consecutive latents."""
        if self._whole is not None or len(self.latents) <= 1:
            yield 0, self.rows(self.latents)
            return
        for first, positions, values, offsets in self.store.scan(self._events):
            n = len(offsets) - 1
            begin, end = np.searchsorted(self.latents, [first, first + n])
            found = sparse.csr_array((values, positions, offsets), shape=(n, self.store.shape[1]))
            if begin < end:
                yield int(begin), found[self.latents[begin:end] - first]

    def only(self, latent: int) -> Stored:
        """Returns the activations of one latent, or of none if it never fires."""
        found = copy(self)
        found.latents = self.latents[self.latents == latent]
        return found

    def rows(self, latents: NDArray) -> sparse.csr_array:
        """[latents, positions] of any latents."""
        if self._whole is not None:
            return self._whole[latents]
        parts = [self.store.latent(latent) for latent in latents.tolist()] or [
            (np.empty(0, np.int32), np.empty(0, np.float32))
        ]
        offsets = np.cumsum([0, *(len(positions) for positions, _ in parts)])[: len(latents) + 1]
        positions, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        return sparse.csr_array((values, positions, offsets), (len(latents), self.store.shape[1]))

    def own_squares(self) -> NDArray[np.float64]:
        """``squares`` of this coder with itself, computed once."""
        if self._squares is None:
            self._squares = squares(self, self)
        return self._squares


class Correlation:
    """Pearson correlation of activations over the shared tokens, as a ``Similarity``."""

    def __init__(self, a: Stored, b: Stored, cells: int = CELLS) -> None:
        self._a, self._b, self._cells = a, b, cells
        self.rows, self.columns = a.latents, b.latents

    def blocks(self) -> Iterator[Block]:
        """Yields blocks of the matrix of correlations."""
        a, b = self._a, self._b
        for row, column, (product,) in products(a, b, 1, self._cells):
            r, c = (slice(first, first + n) for first, n in zip((row, column), product.shape, strict=True))
            left, right = a.latents[r], b.latents[c]
            values = product / a.n_tokens - np.outer(a.mean[left], b.mean[right])
            values /= np.outer(a.deviation[left], b.deviation[right])
            yield Block(row, column, torch.from_numpy(values.astype(np.float32)))

    def pairs(self, a: NDArray, b: NDArray) -> NDArray[np.float64]:
        """Correlates latent by latent."""
        return overlaps(self._a, self._b, a, b).pearson

    def only(self, latent: int) -> Correlation:
        """Takes its activations alone."""
        return Correlation(self._a.only(latent), self._b, self._cells)


class Overlaps(NamedTuple):
    """How alike pairs of latents fire, [pairs]; NaN where one of them never does."""

    pearson: NDArray[np.float64]
    jaccard: NDArray[np.float64]
    """Tokens on which both fire, of those on which either does."""


def overlaps(a: Stored, b: Stored, latents_a: NDArray, latents_b: NDArray) -> Overlaps:
    """Compares latents_a[i] with latents_b[i]."""
    known = np.isin(latents_a, a.latents) & np.isin(latents_b, b.latents)
    count_a, count_b = a.store.statistic("count"), b.store.statistic("count")
    pearson, jaccard = np.full((2, len(latents_a)), np.nan)
    places = np.flatnonzero(known)
    load = np.cumsum(count_a[latents_a[places]] + count_b[latents_b[places]])
    for part in np.split(places, np.flatnonzero(np.diff(load // EVENTS)) + 1):
        if len(part):
            i, j = latents_a[part], latents_b[part]
            left, right = a.rows(i).astype(np.float64), b.rows(j).astype(np.float64)
            covariance = left.multiply(right).sum(axis=1) / a.n_tokens - a.mean[i] * b.mean[j]
            pearson[part] = covariance / (a.deviation[i] * b.deviation[j])
            both = ((left != 0).multiply(right != 0)).sum(axis=1)
            jaccard[part] = both / (count_a[i] + count_b[j] - both)
    return Overlaps(pearson, jaccard)


def products(
    a: Stored, b: Stored, parts: int, cells: int = CELLS
) -> Iterator[tuple[int, int, list[NDArray[np.float32]]]]:
    """Yields (row, column, sums of products [rows, columns] over each of ``parts`` stretches of the corpus)."""
    edges = np.linspace(0, a.store.shape[1], parts + 1).astype(int)
    for row, left in a.groups():
        lefts = [left[:, begin:end] for begin, end in itertools.pairwise(edges)]
        for column, right in b.groups():
            rights = [right[:, begin:end].T.tocsr() for begin, end in itertools.pairwise(edges)]
            step = max(1, cells // (2 * parts * right.shape[0]))
            for first in range(0, left.shape[0], step):
                rows = slice(first, first + step)
                yield row + first, column, [(x[rows] @ y).toarray() for x, y in zip(lefts, rights, strict=True)]


def squares(a: Stored, b: Stored) -> NDArray[np.float64]:
    """Returns the sum of the squared covariances of all latents of both, [1 + PARTS].

    First over all tokens, then with each of ``PARTS`` stretches left out, taken to hold equally many tokens.
    """
    total = np.zeros(1 + PARTS)
    sums = [_part_sums(stored) for stored in (a, b)]
    n = np.array([a.n_tokens, *[a.n_tokens * (1 - 1 / PARTS)] * PARTS])
    for row, column, parts in products(a, b, PARTS):
        whole = np.sum(parts, axis=0)
        r, c = parts[0].shape
        left, right = sums[0][:, row : row + r], sums[1][:, column : column + c]
        for place, part in enumerate([np.zeros_like(whole), *parts]):
            covariance = (whole - part) / n[place] - np.outer(left[place] / n[place], right[place] / n[place])
            total[place] += np.einsum("ij,ij->", covariance, covariance, dtype=np.float64)
    return total


def _part_sums(stored: Stored) -> NDArray[np.float64]:
    """[1 + PARTS, latents] sums of activations, over all tokens and with each stretch left out."""
    edges = np.linspace(0, stored.store.shape[1], PARTS + 1).astype(int)
    found = np.zeros((PARTS, len(stored.latents)))
    for first, group in stored.groups():
        for place, (begin, end) in enumerate(itertools.pairwise(edges)):
            found[place, first : first + group.shape[0]] = group[:, begin:end].sum(axis=1, dtype=np.float64)
    whole = found.sum(axis=0)
    return np.concatenate([whole[None], whole - found])


def cka(a: Stored, b: Stored) -> Figure:
    """Returns linear CKA of the activations, 0 … 1, tokens being the examples (Kornblith et al., arXiv 1905.00414).

    ‖XᵀY‖² / (‖XᵀX‖ ‖YᵀY‖) in Frobenius norms, X and Y [tokens, latents] centred. Its interval is the normal one by the
    jackknife over ``PARTS`` stretches of the corpus, because tokens beside each other are not independent.
    """
    found = squares(a, b) / np.sqrt(a.own_squares() * b.own_squares())
    value, left_out = found[0], found[1:]
    error = np.sqrt((PARTS - 1) * np.mean((left_out - left_out.mean()) ** 2))
    low, high = np.clip([value - Z * error, value + Z * error], 0, 1)
    return Figure(float(value), float(low), float(high), a.n_tokens)


def why_not(a: Stored, b: Stored) -> str | None:
    """Returns why activations can't be compared; None if they can."""
    if a.store.meta["tokens_sha256"] != b.store.meta["tokens_sha256"]:
        return "the coders' activations are of different tokens"
    if not len(a.latents) or not len(b.latents):
        return "no latent of one of the coders ever fires"
    return None
