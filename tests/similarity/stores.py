"""Stores of activations in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

TOKENS = "0" * 64


@dataclass
class MemoryStore:
    """Offers what is read of a ``LatentStore``, from a dense matrix [latents, positions]."""

    dense: NDArray[np.float32]
    meta: dict[str, Any] = field(default_factory=lambda: {"tokens_sha256": TOKENS})

    def __post_init__(self) -> None:
        self.matrix = sparse.csr_array(self.dense.astype(np.float32))
        self.indptr = self.matrix.indptr.astype(np.int64)

    @property
    def shape(self) -> tuple[int, int]:
        return self.dense.shape

    def statistic(self, name: str) -> NDArray:
        wide = self.dense.astype(np.float64)
        found = {"count": (wide != 0).sum(axis=1), "sum": wide.sum(axis=1), "square_sum": (wide**2).sum(axis=1)}
        return found[name]

    def latent(self, latent: int) -> tuple[NDArray, NDArray[np.float32]]:
        begin, end = self.indptr[latent : latent + 2]
        return self.matrix.indices[begin:end], self.matrix.data[begin:end]

    def scan(self, events_at_once: int = 1000) -> Any:
        first = 0
        while first < len(self.dense):
            last = max(first + 1, int(np.searchsorted(self.indptr, self.indptr[first] + events_at_once, "right")) - 1)
            begin, end = self.indptr[first], self.indptr[last]
            yield (
                first,
                self.matrix.indices[begin:end],
                self.matrix.data[begin:end],
                self.indptr[first : last + 1] - begin,
            )
            first = last

    def csr(self) -> sparse.csr_array:
        return self.matrix


def random_store(seed: int, latents: int, positions: int, density: float = 0.1, signed: bool = False) -> MemoryStore:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(latents, positions)) if signed else draw.exponential(size=(latents, positions))
    return MemoryStore((values * (draw.random((latents, positions)) < density)).astype(np.float32))
