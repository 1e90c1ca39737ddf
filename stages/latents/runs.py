"""Runs: the events of a range of rows, sorted by latent, in one file of scratch.

A run is written whole under its final name or not at all, begins with the hash of the rest, and is named by the content
it depends on; so whatever run is found is right, and a cache that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stages.errors import GlossaError

HEADER_BYTES = 512
DIGEST_BYTES = 16
MAGIC = "glossa-run-1"


@dataclass(frozen=True)
class Run:
    """A finished run: an index over latents, their extremes, and where their events lie in the file."""

    path: Path
    first_row: int
    end_row: int
    n_latents: int
    n_events: int

    @property
    def indptr(self) -> NDArray[np.int64]:
        """[n_latents + 1]: events of latent i are indptr[i]:indptr[i + 1]."""
        return np.memmap(self.path, np.int64, "r", HEADER_BYTES, (self.n_latents + 1,))

    @property
    def extremes(self) -> NDArray[np.float32]:
        """[2, n_latents]: smallest and largest value of every latent; +inf and -inf where it never fires."""
        offset = HEADER_BYTES + 8 * (self.n_latents + 1)
        return np.memmap(self.path, np.float32, "r", offset, (2, self.n_latents))

    def read(self, begin: int, end: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Returns run-local positions and values of the events ``begin`` to ``end``."""
        offset = HEADER_BYTES + 8 * (self.n_latents + 1) + 8 * self.n_latents
        n = end - begin
        positions = np.fromfile(self.path, np.int32, n, offset=offset + 4 * begin)
        values = np.fromfile(self.path, np.float32, n, offset=offset + 4 * self.n_events + 4 * begin)
        return positions, values


def path_of(folder: Path, first_row: int, end_row: int) -> Path:
    """Where the run of these rows lies."""
    return folder / f"run-{first_row:012d}-{end_row:012d}.bin"


def write(
    folder: Path,
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
    rows = np.zeros(n_positions + 1, np.int64)
    np.cumsum(np.bincount(positions, minlength=n_positions), out=rows[1:])
    by_latent = sparse.csr_array((values, latents, rows), shape=(n_positions, n_latents)).tocsc()
    indptr = by_latent.indptr.astype(np.int64)
    live = np.flatnonzero(np.diff(indptr))
    extremes = np.array([np.full(n_latents, np.inf), np.full(n_latents, -np.inf)], np.float32)
    if len(live):
        extremes[0, live] = np.minimum.reduceat(by_latent.data, indptr[live])
        extremes[1, live] = np.maximum.reduceat(by_latent.data, indptr[live])
    header = {
        "magic": MAGIC,
        "first_row": first_row,
        "end_row": end_row,
        "n_latents": n_latents,
        "n_events": len(values),
    }
    parts = (
        json.dumps(header).encode().ljust(HEADER_BYTES - DIGEST_BYTES),
        indptr.data,
        extremes.data,
        by_latent.indices.astype(np.int32).data,
        by_latent.data.astype(np.float32).data,
    )
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(part)
    path = path_of(folder, first_row, end_row)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        for part in (digest.digest(), *parts):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return Run(path, first_row, end_row, n_latents, len(values))


def find(folder: Path, first_row: int, end_row: int, n_latents: int) -> Run | None:
    """Returns the finished run of these rows, or None if there is none or its bytes are not what it says."""
    path = path_of(folder, first_row, end_row)
    try:
        with path.open("rb") as file:
            found = file.read(DIGEST_BYTES)
            start = file.read(HEADER_BYTES - DIGEST_BYTES)
            digest = hashlib.blake2b(start, digest_size=DIGEST_BYTES)
            while block := file.read(1 << 22):
                digest.update(block)
    except OSError:
        return None
    if digest.digest() != found:
        return None
    header = json.loads(start)
    expected = {"magic": MAGIC, "first_row": first_row, "end_row": end_row, "n_latents": n_latents}
    if any(header.get(key) != value for key, value in expected.items()):
        return None
    return Run(path, first_row, end_row, n_latents, header["n_events"])
