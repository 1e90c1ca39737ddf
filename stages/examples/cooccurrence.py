"""Which latents fire together, found sparsely: 131,072 latents fit into memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stages.examples.batches import batches, text_only
from stages.examples.grid import Grid
from stages.latents.store import LatentStore
from stages.machine.progress import bar

EVENTS = 2**25
"""Events that are looked at, about; of a larger store they are those of every so many tokens."""
ROWS = 64
"""Latents whose partners are counted at once."""
LOW = np.uint64(2**32 - 1)
TWICE = 2
"""Tokens on which two latents have to fire together; one could be chance."""


def neighbours(
    store: LatentStore, latents: NDArray[np.int64], n: int, grid: Grid | None = None
) -> tuple[NDArray[np.int64], int]:
    """Returns, for each of ``latents``, the ``n`` latents of the store that fire on the same tokens most, and the stride.

    The measure is the cosine of the two rows of the matrix of latents by tokens, of which one column in ``stride`` is looked
    at. Columns that the ``grid`` skips, where many latents fire together and say nothing of each other, are left out. Returns
    [latents, n], the closest first, -1 where there are fewer; and the stride.
    """
    stride = -(-int(store.indptr[-1]) // EVENTS) | 1  # odd, so that all columns of a row of the corpus take part
    matrix = _sampled(store, stride, grid)
    by_token = matrix.T.tocsr()
    sizes = np.diff(matrix.indptr)
    closest = np.full((len(latents), n), -1, np.int64)
    with bar("co-occurrence", total=len(latents), unit="latent") as progress:
        for first in range(0, len(latents), ROWS):
            rows = latents[first : first + ROWS]
            closest[first : first + ROWS] = _closest(matrix[rows] @ by_token, rows, sizes, n)
            progress.update(len(rows))
    return closest, stride


def _sampled(store: LatentStore, stride: int, grid: Grid | None) -> sparse.csr_array:
    """The matrix of latents by every ``stride``-th token, 1 where a latent fires."""
    n_latents, n_positions = store.shape
    columns = []
    counts = np.zeros(n_latents, np.int64)
    for events in batches(store, np.arange(n_latents)):
        if grid is not None:
            events = text_only(events, grid.context_length, grid.skipped)
        chosen = events.positions % stride == stride // 2
        columns.append((events.positions[chosen] // stride).astype(np.int32))
        before = np.concatenate([[0], np.cumsum(chosen)])
        counts[events.latents] = np.diff(before[events.bounds])
    indices = np.concatenate(columns) if columns else np.empty(0, np.int32)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    if indptr[-1] <= np.iinfo(np.int32).max:
        indptr = indptr.astype(np.int32)
    shape = (n_latents, -(-n_positions // stride))
    return sparse.csr_array((np.ones(len(indices), np.float32), indices, indptr), shape=shape)


def _closest(
    together: sparse.csr_array, rows: NDArray[np.int64], sizes: NDArray[np.int64], n: int
) -> NDArray[np.int64]:
    """The ``n`` best columns of every row of ``together``, which counts the tokens that two latents share."""
    best = np.full((len(rows), n), -1, np.int64)
    for row, latent in enumerate(rows.tolist()):
        part = slice(together.indptr[row], together.indptr[row + 1])
        others, counts = together.indices[part].astype(np.uint64), together.data[part]
        kept = (counts >= TWICE) & (others != latent)
        others, counts = others[kept], counts[kept]
        cosines = (counts / np.sqrt(float(sizes[latent]) * sizes[others])).astype(np.float32)
        # Ordered by cosine, then by latent, the lower first: floats above 0 are ordered like their bits.
        keys = cosines.view(np.uint32).astype(np.uint64) << np.uint64(32) | (LOW - others)
        keys = np.sort(np.partition(keys, -n)[-n:] if len(keys) > n else keys)[::-1]
        best[row, : len(keys)] = LOW - (keys & LOW)
    return best
