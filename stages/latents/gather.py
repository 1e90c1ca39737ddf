"""Events of several runs -> one stretch of the store: latent by latent, position by position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stages.latents.runs import Run

EVENTS = 2**21
"""Events that are put in order at once: 16 MB, read once and written once."""

LENGTHS = 2**20
"""Runs times latents at once, for latents that hardly fire."""


def gather(
    runs: Sequence[Run], indptr: NDArray[np.int64], begin: int, end: int, bases: Sequence[int], index_type: str
) -> Iterator[tuple[NDArray, NDArray[np.float32]]]:
    """Yields positions and values of the events ``begin`` to ``end``, block by block.

    Args:
        runs: Runs of consecutive rows.
        indptr: [latents + 1], the index over the events of all runs together.
        begin: First event, in the order of ``indptr``.
        end: The event behind the last.
        bases: What is added to the positions of each run.
        index_type: Type of the positions, ``int32`` or ``int64``.
    """
    latents_at_once = max(1, LENGTHS // len(runs))
    while begin < end:
        first = int(np.searchsorted(indptr, begin, side="right")) - 1
        stop = min(begin + EVENTS, end, max(int(indptr[min(first + latents_at_once, len(indptr) - 1)]), begin + 1))
        last = int(np.searchsorted(indptr, stop, side="left"))
        yield _block(runs, indptr, (begin, stop), (first, last), bases, index_type)
        begin = stop


def _block(
    runs: Sequence[Run],
    indptr: NDArray[np.int64],
    events: tuple[int, int],
    latents: tuple[int, int],
    bases: Sequence[int],
    index_type: str,
) -> tuple[NDArray, NDArray[np.float32]]:
    (begin, end), (first, last) = events, latents
    offsets = np.stack([run.offsets(first, last) for run in runs])
    lengths = np.diff(offsets, axis=1)
    # Where each run's events of each latent begin in the store. Only the first latent can begin before this block and
    # only the last can end behind it, so what is left of a run is one stretch of its file.
    place = indptr[first:last] + np.cumsum(lengths, axis=0) - lengths
    skip = np.clip(begin - place, 0, lengths)
    kept = lengths - skip - np.clip(place + lengths - end, 0, lengths)
    starts = np.concatenate([[0], np.cumsum(kept)])
    found = np.empty(end - begin, np.int32)
    positions = found if index_type == "int32" else np.empty(end - begin, np.int64)
    values = np.empty(end - begin, np.float32)
    for i, run in enumerate(runs):
        part = slice(starts[i * (last - first)], starts[(i + 1) * (last - first)])
        if part.start < part.stop:
            run.read(int(offsets[i, 0] + skip[i, 0]), found[part], values[part])
            np.add(found[part], bases[i], out=positions[part], dtype=positions.dtype, casting="unsafe")
    if len(runs) == 1:
        return positions, values
    # The stretches stand run by run as rows of a matrix; SciPy moves rows by copying memory.
    by_run = sparse.csr_array(
        (values, positions, starts.astype(index_type)), shape=(kept.size, np.iinfo(index_type).max)
    )
    by_latent = by_run[np.arange(kept.size).reshape(kept.shape).T.ravel()]
    return by_latent.indices, by_latent.data
