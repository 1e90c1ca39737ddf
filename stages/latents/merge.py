"""Runs -> the Zarr store, one output shard at a time, in memory that does not depend on the number of events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from stages.errors import GlossaError
from stages.latents import spec
from stages.latents.runs import Run
from stages.progress import bar


class Span(NamedTuple):
    """The events of one shard: those ``begin`` to ``end`` of the store, of latents ``first`` to ``last`` (excluded)."""

    begin: int
    end: int
    first: int
    last: int


def merge(
    runs: Sequence[Run],
    path: Path,
    rows: int,
    context_length: int,
    attributes: dict[str, Any],
    output: dict[str, NDArray],
) -> int:
    """Writes the store at ``path`` and returns the number of events in it.

    ``attributes`` say what the activations were made from. ``output`` holds arrays [n_latents, …] that go into the
    group of that name, unchanged.

    Raises:
        GlossaError: the runs leave out or repeat a row.
    """
    check_tiling(runs, rows)
    n_latents = runs[0].n_latents
    n_positions = rows * context_length
    indptr = np.zeros(n_latents + 1, np.int64)
    extremes = np.array([np.full(n_latents, np.inf), np.full(n_latents, -np.inf)], np.float32)
    for run in runs:
        indptr += run.indptr
        np.minimum(extremes[0], run.extremes[0], out=extremes[0])
        np.maximum(extremes[1], run.extremes[1], out=extremes[1])
    n_events = int(indptr[-1])

    root = zarr.create_group(path, zarr_format=3, attributes=_sorted({**attributes, "n_events": n_events}))
    shape = [n_latents, n_positions]
    encoding = {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape}
    group = root.create_group("activations", attributes=encoding)
    index_type = "int32" if n_positions <= spec.MAX_INT32 else "int64"
    indices = _create(group, "indices", n_events, index_type)
    data = _create(group, "data", n_events, "float32")
    _write(group, "indptr", indptr)

    statistics = _Statistics(extremes)
    with bar("merge", total=n_events, unit="event") as progress:
        for begin in range(0, n_events, spec.SHARD):
            end = min(begin + spec.SHARD, n_events)
            first = int(np.searchsorted(indptr, begin, side="right")) - 1
            last = int(np.searchsorted(indptr, end, side="left"))
            span = Span(begin, end, first, last)
            positions, values = _gather(runs, indptr, span, context_length, index_type)
            indices[begin:end] = positions
            data[begin:end] = values
            statistics.add(span, indptr, values)
            progress.update(end - begin)

    stats = root.create_group("stats")
    for name, array in statistics.arrays(np.diff(indptr)).items():
        _write(stats, name, array)
    directions = root.create_group("output")
    for name, array in sorted(output.items()):
        _write(directions, name, array)
    return n_events


def check_tiling(runs: Sequence[Run], rows: int) -> None:
    """Raises GlossaError unless the runs cover rows 0 to ``rows`` once each, in order, with the same latents."""
    expected = 0
    for run in runs:
        if run.first_row != expected or run.n_latents != runs[0].n_latents:
            raise GlossaError(
                f"expected a run that starts at row {expected}, found {run.path.name}; delete {run.path.parent}"
            )
        expected = run.end_row
    if expected != rows:
        raise GlossaError(f"expected runs up to row {rows}, but they end at row {expected}")


def _gather(
    runs: Sequence[Run], indptr: NDArray[np.int64], span: Span, context_length: int, index_type: str
) -> tuple[NDArray, NDArray[np.float32]]:
    """Reads one shard's events from every run and lays them latent by latent, position by position."""
    positions = np.empty(span.end - span.begin, index_type)
    values = np.empty(span.end - span.begin, np.float32)
    place = indptr[span.first : span.last].copy()  # where the next run's events of each latent begin in the store
    for run in runs:
        offsets = run.indptr[span.first : span.last + 1]
        lengths = np.diff(offsets)
        # Only the first latent can begin before the shard and only the last can end behind it, so what is left is one
        # stretch of the run.
        skip = np.clip(span.begin - place, 0, lengths)
        drop = np.clip(place + lengths - span.end, 0, lengths)
        kept = lengths - skip - drop
        local, read = run.read(int(offsets[0] + skip[0]), int(offsets[-1] - drop[-1]))
        target = np.repeat(place + skip - span.begin - np.cumsum(kept) + kept, kept) + np.arange(len(local))
        positions[target] = local.astype(index_type) + run.first_row * context_length
        values[target] = read
        place += lengths
    return positions, values


class _Statistics:
    """Sums and histograms of every latent, gathered shard by shard."""

    def __init__(self, extremes: NDArray[np.float32]) -> None:
        n = extremes.shape[1]
        dead = extremes[0] > extremes[1]
        self.low = np.where(dead, 0, extremes[0]).astype(np.float32)
        self.high = np.where(dead, 0, extremes[1]).astype(np.float32)
        self.sum = np.zeros(n)
        self.square = np.zeros(n)
        self.histogram = np.zeros((n, spec.BINS), np.int64)

    def add(self, span: Span, indptr: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        bounds = np.clip(indptr[span.first : span.last + 1], span.begin, span.end) - span.begin
        lengths = np.diff(bounds)
        latents = np.repeat(np.arange(span.first, span.last), lengths)
        live = np.flatnonzero(lengths)
        wide = values.astype(np.float64)
        self.sum[span.first + live] += np.add.reduceat(wide, bounds[live])
        self.square[span.first + live] += np.add.reduceat(wide * wide, bounds[live])
        low = np.minimum(self.low, 0)[latents].astype(np.float64)
        width = np.maximum(self.high, 0)[latents] - low
        # Bars are closed above, so that the maximum falls into the last one and 0 would fall below the first.
        bins = np.ceil((wide - low) / width * spec.BINS).astype(np.int64) - 1
        flat = latents * spec.BINS + np.clip(bins, 0, spec.BINS - 1)
        part = np.bincount(flat - span.first * spec.BINS, minlength=(span.last - span.first) * spec.BINS)
        self.histogram[span.first : span.last] += part.reshape(-1, spec.BINS)

    def arrays(self, counts: NDArray[np.int64]) -> dict[str, NDArray]:
        return {
            "count": counts,
            "histogram": self.histogram,
            "max": self.high,
            "min": self.low,
            "square_sum": self.square,
            "sum": self.sum,
        }


def _create(group: zarr.Group, name: str, length: int, dtype: str) -> zarr.Array:
    """A sharded vector; a short one is a single shard no longer than it has to be."""
    chunks = max(1, min(spec.CHUNKS_PER_SHARD, -(-length // spec.CHUNK)))
    return group.create_array(
        name,
        shape=(length,),
        dtype=dtype,
        chunks=(spec.CHUNK,),
        shards=(spec.CHUNK * chunks,),
        compressors=BloscCodec(typesize=np.dtype(dtype).itemsize, cname="lz4", clevel=5, shuffle="bitshuffle"),
    )


def _write(group: zarr.Group, name: str, values: NDArray) -> None:
    shape = tuple(max(1, n) for n in values.shape)
    codec = BloscCodec(typesize=values.dtype.itemsize, cname="zstd", clevel=3, shuffle="shuffle")
    array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=shape, compressors=codec)
    if values.size:
        array[:] = values


def _sorted(value: Any) -> Any:
    """Zarr keeps the order of attributes, which would change the bytes."""
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, dict) else value
