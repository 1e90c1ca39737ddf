"""Made-up activations: a dense matrix, and the runs and the store that hold it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.latents import runs, spec
from stages.latents.merge import merge
from stages.latents.runs import Run
from stages.latents.store import LatentStore
from stages.machine.scratch import Scratch

ATTRIBUTES = {"schema": spec.SCHEMA, "version": spec.VERSION, "tokens_sha256": "0" * 64}


def small_shards(chunk: int = 3, per_shard: int = 2) -> AbstractContextManager[Any]:
    """Shards so small that few events fill several, and a latent may span them."""
    return mock.patch.multiple(spec, CHUNK=chunk, CHUNKS_PER_SHARD=per_shard, SHARD=chunk * per_shard)


def dense_of(n_latents: int, n_positions: int, density: float, seed: int) -> NDArray[np.float32]:
    """[latents, positions], 0 where silent; the last latent always fires when there are several, the first never."""
    generator = np.random.default_rng(seed)
    values = generator.lognormal(0, 2, (n_latents, n_positions)).astype(np.float32)
    dense = np.where(generator.random((n_latents, n_positions)) < density, values, np.float32(0))
    if n_latents > 2:
        dense[0] = 0
        dense[-1] = values[-1]
    return dense


def write_run(folder: Path, dense: NDArray[np.float32], first: int, end: int, length: int) -> Run:
    """Writes the run of rows ``first`` to ``end`` of ``length`` positions."""
    part = dense[:, first * length : end * length]
    positions, latents = np.nonzero(part.T)
    values = part[latents, positions]
    n_positions = (end - first) * length
    return runs.write(
        Scratch(str(folder)),
        first,
        end,
        n_positions,
        len(dense),
        positions.astype(np.int32),
        latents.astype(np.int32),
        values,
    )


def write_store(folder: Path, dense: NDArray[np.float32], length: int, cuts: Sequence[int] = ()) -> LatentStore:
    """Merges ``dense``, cut into runs at the rows ``cuts``, into a store in ``folder``."""
    rows = dense.shape[1] // length
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < rows}), rows]
    found = [write_run(folder / "runs", dense, first, end, length) for first, end in pairwise(edges)]
    merge(found, folder / "store.zarr", rows, length, ATTRIBUTES, {"top_tokens": np.arange(len(dense))[:, None]})
    return LatentStore.open(folder / "store.zarr")


matrices = st.builds(
    lambda n_latents, rows, length, density, seed: (dense_of(n_latents, rows * length, density, seed), length),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.1, 0.6]),
    st.integers(0, 10_000),
)
