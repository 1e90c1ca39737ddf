"""data/examples/<coder>: the sampled latents and their windows, as written and as later stages read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.outputs import read_meta, read_table

SCHEMA, VERSION = "glossa/examples", 1


def latents_schema() -> pa.Schema:
    """One row for every latent that was chosen, kept or dropped."""
    return pa.schema(
        [
            ("latent", pa.int32()),
            ("dropped", pa.string()),  # why it is not explained; null when it is
            ("count", pa.int64()),  # tokens on which it fires
            ("density", pa.float64()),  # share of the ordinary tokens on which it fires
            ("max", pa.float32()),
            ("mean", pa.float64()),  # over the tokens on which it fires
            ("histogram", pa.list_(pa.int64())),  # equal bars from 0 to max
            ("n_windows", pa.int64()),  # windows in which it fires
            ("n_train", pa.int32()),
            ("n_test", pa.int32()),
            ("n_negative", pa.int32()),
            ("top_tokens", pa.list_(pa.int32())),  # output tokens it promotes most
            ("top_values", pa.list_(pa.float32())),  # … by how much, in logits per unit of activation
            ("bottom_tokens", pa.list_(pa.int32())),
            ("bottom_values", pa.list_(pa.float32())),
        ]
    )


def windows_schema() -> pa.Schema:
    """One row for every sampled window, ordered by latent, role (train, test, negative), decile and place."""
    return pa.schema(
        [
            ("latent", pa.int32()),
            ("role", pa.string()),  # train, test or negative
            ("kind", pa.string()),  # how a negative was found; null for the others
            ("decile", pa.int8()),  # 1 strongest … 10; 0 for a negative
            ("window", pa.int64()),  # flat position of its first token // window length; unique for a latent
            ("row", pa.int32()),
            ("start", pa.int32()),  # first column
            ("max", pa.float32()),
            ("tokens", pa.list_(pa.int32())),
            ("activations", pa.list_(pa.float32())),
        ]
    )


@dataclass(frozen=True)
class Windows:
    """Windows of one latent and one role."""

    numbers: NDArray[np.int64]
    """[n] window numbers."""
    deciles: NDArray[np.int8]
    tokens: NDArray[np.int32]
    """[n, window]."""
    activations: NDArray[np.float32]
    """[n, window]; all 0 for negatives."""
    kinds: list[str | None]

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class LatentExamples:
    """One latent with its facts and its windows."""

    latent: int
    facts: dict[str, Any]
    """The latent's row of the latents table."""
    train: Windows
    test: Windows
    negative: Windows


@dataclass(frozen=True)
class Examples:
    """The sample of one coder."""

    directory: Path
    meta: dict[str, Any]

    @classmethod
    def open(cls, directory: Path) -> Examples:
        """Opens what the sample stage wrote; raises GlossaError if it is missing or of another version."""
        return cls(directory, read_meta(directory, SCHEMA, VERSION))

    @cached_property
    def latents(self) -> pa.Table:
        """Every latent that was chosen, kept or dropped (``latents_schema``)."""
        return read_table(self.directory / "latents.parquet")

    @cached_property
    def windows(self) -> pa.Table:
        """Every sampled window (``windows_schema``)."""
        return read_table(self.directory / "windows.parquet")

    def __iter__(self) -> Iterator[LatentExamples]:
        """Yields the latents that were kept, in increasing order."""
        kept = [row for row in self.latents.to_pylist() if row["dropped"] is None]
        owners = self.windows["latent"].to_numpy()
        length = self.meta["window"]
        for facts in kept:
            first, last = np.searchsorted(owners, [facts["latent"], facts["latent"] + 1])
            part = self.windows.slice(first, last - first).combine_chunks()
            yield LatentExamples(
                facts["latent"], facts, *(_windows(part, role, length) for role in ("train", "test", "negative"))
            )


def _windows(part: pa.Table, role: str, length: int) -> Windows:
    import pyarrow.compute as pc

    chosen = part.filter(pc.equal(part["role"], role)).combine_chunks()
    n = len(chosen)
    return Windows(
        chosen["window"].to_numpy(),
        chosen["decile"].to_numpy(),
        _flat(chosen["tokens"], np.int32).reshape(n, length),
        _flat(chosen["activations"], np.float32).reshape(n, length),
        chosen["kind"].to_pylist(),
    )


def _flat(column: pa.ChunkedArray, dtype: type) -> NDArray:
    if not len(column):
        return np.empty(0, dtype)
    return np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks])
