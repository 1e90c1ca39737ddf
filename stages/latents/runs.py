"""Runs: the events of a range of rows, sorted by latent, in one file of scratch.

A run is written whole or not at all, holds the hashes of its parts, and is named by the content it depends on; so
whatever run is found is right, and a cache that was killed goes on where it stopped.

A file is: sha256 of all up to the positions (32 bytes), a JSON header padded to 512 bytes with it, the int64 index over
latents, the float32 extremes, the int32 positions, the float32 values.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stages.errors import GlossaError
from stages.machine.scratch import Scratch

HEADER_BYTES = 512
DIGEST_BYTES = 32
MAGIC = "glossa-run-2"
HASHED_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Run:
    """A finished run: an index over latents, their extremes, and where their events lie in the file."""

    folder: Scratch
    first_row: int
    end_row: int
    n_latents: int
    n_events: int

    @property
    def name(self) -> str:
        """The file's name."""
        return name_of(self.first_row, self.end_row)

    def offsets(self, first: int, last: int) -> NDArray[np.int64]:
        """[last - first + 1]: the events of latent ``first + i`` are those from offset i to offset i + 1."""
        found = np.empty(last - first + 1, np.int64)
        self.folder.read(self.name, HEADER_BYTES + 8 * first, found)
        return found

    def extremes(self) -> NDArray[np.float32]:
        """[2, n_latents]: smallest and largest value of every latent; +inf and -inf where it never fires."""
        found = np.empty(2 * self.n_latents, np.float32)
        self.folder.read(self.name, HEADER_BYTES + 8 * (self.n_latents + 1), found)
        return found.reshape(2, -1)

    def read(self, begin: int, positions: NDArray[np.int32], values: NDArray[np.float32]) -> None:
        """Fills both with the run-local positions and the values of the events from ``begin`` on."""
        self.folder.read(self.name, _events_at(self.n_latents) + 4 * begin, positions)
        self.folder.read(self.name, _events_at(self.n_latents) + 4 * (self.n_events + begin), values)


def name_of(first_row: int, end_row: int) -> str:
    """What the run of these rows is called."""
    return f"run-{first_row:012d}-{end_row:012d}.bin"


def write(
    folder: Scratch,
    first_row: int,
    end_row: int,
    n_positions: int,
    n_latents: int,
    positions: NDArray[np.int32],
    latents: NDArray[np.int32],
    values: NDArray[np.float32],
) -> Run:
    """Sorts the events of rows ``first_row`` to ``end_row`` by latent and writes them.

    ``positions`` count from the start of the range and don't decrease. The transpose is SciPy's counting sort.

    Raises:
        GlossaError: a latent id lies outside the coder, which SciPy would not notice.
    """
    if len(latents) and (latents.min() < 0 or latents.max() >= n_latents):
        raise GlossaError(
            f"expected latents 0 to {n_latents - 1}, but the coder returned {latents.min()} to {latents.max()}"
        )
    # SciPy sorts with the type of this index, and twice as fast with the smaller one.
    rows = np.searchsorted(positions, np.arange(n_positions + 1, dtype=np.int32))
    rows = rows.astype(np.int32 if len(values) < 2**31 else np.int64)
    by_latent = sparse.csr_array((values, latents, rows), shape=(n_positions, n_latents)).tocsc()
    indptr = by_latent.indptr.astype(np.int64)
    live = np.flatnonzero(np.diff(indptr))
    extremes = np.array([np.full(n_latents, np.inf), np.full(n_latents, -np.inf)], np.float32)
    if len(live):
        extremes[0, live] = np.minimum.reduceat(by_latent.data, indptr[live])
        extremes[1, live] = np.maximum.reduceat(by_latent.data, indptr[live])
    events = [(by_latent.indices.astype(np.int32, copy=False), by_latent.data.astype(np.float32, copy=False))]
    return write_sorted(folder, first_row, end_row, indptr, extremes, events)


def write_sorted(
    folder: Scratch,
    first_row: int,
    end_row: int,
    indptr: NDArray[np.int64],
    extremes: NDArray[np.float32],
    events: Iterable[tuple[NDArray[np.int32], NDArray[np.float32]]],
) -> Run:
    """Writes a run whose ``events``, positions and values, come block by block in the order of latents."""
    n_latents, n_events = len(indptr) - 1, int(indptr[-1])
    place = folder.prepare()
    partial = place / f".{name_of(first_row, end_row)}.{os.getpid()}.partial"
    digests = hashlib.sha256(), hashlib.sha256()
    start = _events_at(n_latents)
    try:
        with partial.open("wb") as file:
            done = 0
            for block in events:
                for part, (digest, column) in enumerate(zip(digests, block, strict=True)):
                    digest.update(column.data)
                    file.seek(start + 4 * (part * n_events + done))
                    file.write(column.data)
                done += len(block[0])
            header: dict[str, Any] = {
                "magic": MAGIC,
                "first_row": first_row,
                "end_row": end_row,
                "n_latents": n_latents,
                "n_events": n_events,
                "positions_sha256": digests[0].hexdigest(),
                "values_sha256": digests[1].hexdigest(),
            }
            head = json.dumps(header).encode().ljust(HEADER_BYTES - DIGEST_BYTES)
            digest = hashlib.sha256(head)
            digest.update(indptr.data)
            digest.update(extremes.data)
            file.seek(0)
            file.write(digest.digest() + head)
            file.write(indptr.data)
            file.write(extremes.data)
            file.flush()
            os.fsync(file.fileno())
        folder.put(partial, name_of(first_row, end_row))
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return Run(folder, first_row, end_row, n_latents, n_events)


def find(folder: Scratch, first_row: int, end_row: int, n_latents: int, trusted: bool = False) -> Run | None:
    """Returns the finished run of these rows, or None if there is none or its bytes are not what it says.

    Of a ``trusted`` run, one that was just written, only the header is read.
    """
    name = name_of(first_row, end_row)
    try:
        size = folder.size(name)
        start = np.empty(HEADER_BYTES, np.uint8)
        folder.read(name, 0, start)
        header = json.loads(start[DIGEST_BYTES:].tobytes())
        expected = {"magic": MAGIC, "first_row": first_row, "end_row": end_row, "n_latents": n_latents}
        if any(header.get(key) != value for key, value in expected.items()):
            return None
        n_events, begin = header["n_events"], _events_at(n_latents)
        if size != begin + 8 * n_events:
            return None
        middle = begin + 4 * n_events
        if not trusted and (
            _hash(folder, name, DIGEST_BYTES, begin) != start[:DIGEST_BYTES].tobytes().hex()
            or _hash(folder, name, begin, middle) != header["positions_sha256"]
            or _hash(folder, name, middle, size) != header["values_sha256"]
        ):
            return None
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None
    return Run(folder, first_row, end_row, n_latents, n_events)


def index_of(runs: Sequence[Run]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Returns the index over latents and the extremes that the events of all ``runs`` have together."""
    n = runs[0].n_latents
    indptr = np.zeros(n + 1, np.int64)
    extremes = np.array([np.full(n, np.inf), np.full(n, -np.inf)], np.float32)
    for run in runs:
        indptr += run.offsets(0, n)
        low, high = run.extremes()
        np.minimum(extremes[0], low, out=extremes[0])
        np.maximum(extremes[1], high, out=extremes[1])
    return indptr, extremes


def _events_at(n_latents: int) -> int:
    return HEADER_BYTES + 8 * (n_latents + 1) + 8 * n_latents


def _hash(folder: Scratch, name: str, begin: int, end: int) -> str:
    digest = hashlib.sha256()
    buffer = np.empty(min(HASHED_AT_ONCE, end - begin), np.uint8)
    for offset in range(begin, end, HASHED_AT_ONCE):
        part = buffer[: min(HASHED_AT_ONCE, end - offset)]
        folder.read(name, offset, part)
        digest.update(part.data)
    return digest.hexdigest()
