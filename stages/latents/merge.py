"""Runs -> the Zarr store, one output shard at a time, in memory that does not depend on the number of events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from stages.errors import GlossaError
from stages.latents import runs as run_files
from stages.latents import spec, statistics
from stages.latents.gather import gather
from stages.latents.runs import Run
from stages.machine.progress import bar
from stages.machine.scratch import Scratch
from stages.vector import CNAME, LEVEL, SHUFFLE, Vector

ARRAYS = ("activations", "stats")
"""Groups of a store that hold its events and what they add up to, and say nothing of names."""

Map = Callable[[Callable[[int], statistics.Sums], Iterable[int]], Iterable[statistics.Sums]]
"""``map``, or one that runs its function in several processes; results come in order."""


@dataclass(frozen=True)
class Shards:
    """Writes the shards of a store, which need nothing of one another."""

    runs: list[Run]
    path: Path
    indptr: NDArray[np.int64]
    extremes: NDArray[np.float32]
    context_length: int

    @property
    def index_type(self) -> str:
        """The smallest type that holds every position."""
        n_positions = self.runs[-1].end_row * self.context_length
        return "int32" if n_positions <= spec.MAX_INT32 else "int64"

    def __call__(self, begin: int) -> statistics.Sums:
        """Writes the shard that begins with the event ``begin`` and returns what its events add up to."""
        end = min(begin + spec.SHARD, int(self.indptr[-1]))
        positions, values = np.empty(end - begin, self.index_type), np.empty(end - begin, np.float32)
        bases = [run.first_row * self.context_length for run in self.runs]
        done = 0
        for block in gather(self.runs, self.indptr, begin, end, bases, self.index_type):
            part = slice(done, done + len(block[0]))
            positions[part], values[part] = block
            done = part.stop
        for name, column in (("indices", positions), ("data", values)):
            Vector.open(self.path / "activations" / name).write_shard(begin // spec.SHARD, column)
        return statistics.sums(values, begin, self.indptr, self.extremes)


def merge(
    runs: Sequence[Run],
    path: Path,
    rows: int,
    context_length: int,
    attributes: dict[str, Any],
    output: Mapping[str, NDArray],
    map_shards: Map = map,
) -> int:
    """Writes the store at ``path`` and returns the number of events in it.

    ``attributes`` say what the activations were made from. ``output`` holds arrays [n_latents, …] that go into the
    group of that name, unchanged.

    Raises:
        GlossaError: the runs leave out or repeat a row.
    """
    check_tiling(runs, rows)
    n_latents, n_positions = runs[0].n_latents, rows * context_length
    indptr, extremes = run_files.index_of(runs)
    n_events = int(indptr[-1])
    shards = Shards(list(runs), path, indptr, extremes, context_length)

    root = zarr.create_group(path, zarr_format=3)
    encoding = {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n_latents, n_positions]}
    group = root.create_group("activations", attributes=encoding)
    _create(group, "indices", n_events, shards.index_type)
    _create(group, "data", n_events, "float32")
    _write(group, "indptr", indptr)

    parts = []
    with bar("merge", total=n_events, unit="event") as progress:
        for part in map_shards(shards, range(0, n_events, spec.SHARD)):
            parts.append(part)
            progress.update(min(spec.SHARD, n_events - progress.n))

    stats = root.create_group("stats")
    for name, array in statistics.arrays(parts, np.diff(indptr), extremes).items():
        _write(stats, name, array)
    return complete(path, attributes, output)


def complete(path: Path, attributes: dict[str, Any], output: Mapping[str, NDArray]) -> int:
    """Writes what a store says beside its ``ARRAYS``, which are at ``path`` already, and returns the number of events in it.

    See ``merge``.
    """
    root = zarr.open_group(path, mode="a", zarr_format=3)
    directions = root.create_group("output")
    for name, array in sorted(output.items()):
        _write(directions, name, array)
    events: Any = root["activations/data"]
    n_events = int(events.shape[0])
    # The attributes come last: without them nothing takes this for a store, and they say how long its files are.
    root.attrs.update(_sorted({**attributes, "n_events": n_events, "files": _sizes(path)}))
    return n_events


def combine(parts: Sequence[Run], folder: Scratch, context_length: int) -> Run:
    """Writes the run of all the rows of ``parts``, which follow one another."""
    indptr, extremes = run_files.index_of(parts)
    first = parts[0].first_row
    bases = [(part.first_row - first) * context_length for part in parts]
    events = gather(parts, indptr, 0, int(indptr[-1]), bases, "int32")
    return run_files.write_sorted(folder, first, parts[-1].end_row, indptr, extremes, events)


def check_tiling(runs: Sequence[Run], rows: int) -> None:
    """Raises GlossaError unless the runs cover rows 0 to ``rows`` once each, in order, with the same latents."""
    expected = 0
    for run in runs:
        if run.first_row != expected or run.n_latents != runs[0].n_latents:
            raise GlossaError(f"expected a run that starts at row {expected}, found {run.name}; delete {run.folder}")
        expected = run.end_row
    if expected != rows:
        raise GlossaError(f"expected runs up to row {rows}, but they end at row {expected}")


def _sizes(path: Path) -> dict[str, int]:
    """Bytes of every file that holds chunks."""
    files = (file for file in path.rglob("*") if file.is_file() and file.name != "zarr.json")
    return {file.relative_to(path).as_posix(): file.stat().st_size for file in files}


def _create(group: zarr.Group, name: str, length: int, dtype: str) -> None:
    """A sharded vector; a short one is a single shard no longer than it has to be."""
    chunks = max(1, min(spec.CHUNKS_PER_SHARD, -(-length // spec.CHUNK)))
    group.create_array(
        name,
        shape=(length,),
        dtype=dtype,
        chunks=(spec.CHUNK,),
        shards=(spec.CHUNK * chunks,),
        compressors=BloscCodec(typesize=np.dtype(dtype).itemsize, cname=CNAME, clevel=LEVEL, shuffle=SHUFFLE),
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
