"""Reading and writing stretches of a sharded Zarr array on this machine, without Zarr.

Zarr takes half a second to load. It opens, plans and schedules every read, which takes some milliseconds; a latent is two reads of a chunk or two, which
take a fifth of one. Writing a shard through Zarr takes three times as long as compressing it. The layout is that of the
sharding codec of Zarr v3: chunks, then an index of (offset, bytes) in 64-bit little-endian numbers, then the crc32c of the
index.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

blosc.use_threads = False  # with threads the same values have other bytes every time
CNAME: Final = "lz4"
LEVEL: Final = 5
SHUFFLE: Final = "bitshuffle"
"""How chunks are compressed."""

MISSING = 2**64 - 1
"""Offset of a chunk that holds nothing but zeros and is not stored."""


@dataclass(frozen=True)
class Vector:
    """The elements, in their order, of a sharded array whose chunks are compressed by Blosc and hold whole rows."""

    folder: Path
    length: int
    dtype: np.dtype[Any]
    chunk: int
    chunks_per_shard: int
    dimensions: int = 1
    _indices: dict[int, NDArray[np.uint64] | None] = field(default_factory=dict, compare=False)

    @classmethod
    def open(cls, folder: Path) -> Vector:
        """Opens the array in ``folder``; ValueError if it is of another kind than the stores written here."""
        meta = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
        outer = meta["codecs"][0]
        inner = [codec["name"] for codec in outer["configuration"].get("codecs", [])]
        if inner != ["bytes", "blosc"]:
            raise ValueError(
                f"expected shards of Blosc chunks in {folder}, found {[c['name'] for c in meta['codecs']]}"
            )
        shards, chunks = meta["chunk_grid"]["configuration"]["chunk_shape"], outer["configuration"]["chunk_shape"]
        if not meta["shape"][1:] == shards[1:] == chunks[1:]:
            raise ValueError(f"expected whole rows in every chunk of {folder}, found chunks of {tuple(chunks)}")
        shard, chunk, length = math.prod(shards), math.prod(chunks), math.prod(meta["shape"])
        dtype = np.dtype(meta["data_type"]).newbyteorder("<")
        return cls(folder, length, dtype, chunk, shard // chunk, len(shards))

    def __getitem__(self, part: slice) -> NDArray[Any]:
        """The elements ``begin`` to ``end``.

        Raises:
            ValueError: a file is damaged; RuntimeError or OSError likewise.
        """
        begin, end, _ = part.indices(self.length)
        found = np.zeros(max(0, end - begin), self.dtype)
        for number in range(begin // self.chunk, -(-end // self.chunk) if end > begin else 0):
            shard, place = divmod(number, self.chunks_per_shard)
            if shard not in self._indices:
                self._indices[shard] = _index(self._file(shard), self.chunks_per_shard)
            index = self._indices[shard]
            if index is None or index[place, 0] == MISSING:
                continue
            first = number * self.chunk
            low, high = max(begin, first), min(end, first + self.chunk)
            decoded = self._chunk(shard, int(index[place, 0]), int(index[place, 1]))
            found[low - begin : high - begin] = decoded[low - first : high - first]
        return found

    def write_shard(self, shard: int, values: NDArray[Any]) -> None:
        """Writes a whole shard, or what there is of the last one, with the bytes that Zarr would write."""
        index = np.full((self.chunks_per_shard, 2), MISSING, "<u8")
        path = self._file(shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for place, first in enumerate(range(0, len(values), self.chunk)):
                part = np.zeros(self.chunk, self.dtype)
                part[: len(values) - first] = values[first : first + self.chunk]
                compressed = blosc.compress(part, CNAME.encode(), LEVEL, blosc.BITSHUFFLE)
                index[place] = file.tell(), len(compressed)
                file.write(compressed)
            raw = index.tobytes()
            file.write(raw + google_crc32c.value(raw).to_bytes(4, "little"))

    def _file(self, shard: int) -> Path:
        return self.folder.joinpath("c", str(shard), *["0"] * (self.dimensions - 1))

    def _chunk(self, shard: int, offset: int, size: int) -> NDArray[Any]:
        with self._file(shard).open("rb", buffering=0) as file:
            file.seek(offset)
            raw = file.read(size)
        decoded = np.frombuffer(blosc.decompress(raw), self.dtype)
        if len(decoded) != self.chunk:
            raise ValueError(f"expected {self.chunk} elements in a chunk of {self.folder}, found {len(decoded)}")
        return decoded


def _index(path: Path, chunks: int) -> NDArray[np.uint64] | None:
    """[chunks, 2] offset and bytes of every chunk; None when there is no file, all of whose chunks are zeros."""
    size = 16 * chunks
    try:
        with path.open("rb") as file:
            file.seek(-(size + 4), 2)
            raw = file.read()
    except FileNotFoundError:
        return None
    if google_crc32c.value(raw[:size]) != int.from_bytes(raw[size:], "little"):
        raise ValueError(f"the index of {path} is damaged")
    return np.frombuffer(raw[:size], "<u8").reshape(-1, 2)
