"""Similarities of all latents of one coder to all of another, block by block: the whole matrix need never exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CELLS = 2**26
"""Cells of a block: 256 MB in float32."""


class Block(NamedTuple):
    """Similarities of consecutive latents of A to consecutive latents of B."""

    row: int
    column: int
    values: Tensor
    """[rows, columns] float32 on any device."""


class Similarity(Protocol):
    """How alike latents of A and of B are; some latents may have no such similarity at all."""

    rows: NDArray[np.int64]
    """Latents of A that have it, increasing; row i of the matrix is latent rows[i]."""
    columns: NDArray[np.int64]
    """Latents of B that have it, increasing."""

    def blocks(self) -> Iterator[Block]:
        """Yields the whole matrix, every cell once, blocks from the upper left to the lower right."""

    def pairs(self, a: NDArray, b: NDArray) -> NDArray[np.float64]:
        """Returns the similarities of latents a[i] and b[i], NaN where it is undefined; the same whatever the blocks."""

    def only(self, latent: int) -> Similarity:
        """Returns the same similarity of one latent of A, or of none if that has no such similarity."""


class Cosine:
    """The cosine of two vectors, or the mean of the cosines of several, such as of decoder and encoder directions."""

    def __init__(
        self,
        vectors: Sequence[tuple[Tensor, Tensor]],
        rows: NDArray | None = None,
        columns: NDArray | None = None,
        cells: int = CELLS,
    ) -> None:
        """``vectors`` holds one or more (A [rows, width], B [columns, width]) at unit norm.

        ``rows`` and ``columns`` say which latents they belong to, increasing; by default all.
        """
        self.vectors = vectors
        a, b = vectors[0]
        self.rows = np.arange(len(a)) if rows is None else np.asarray(rows, np.int64)
        self.columns = np.arange(len(b)) if columns is None else np.asarray(columns, np.int64)
        self._cells = cells

    def blocks(self) -> Iterator[Block]:
        """Yields blocks of whole rows."""
        step = max(1, self._cells // max(1, len(self.columns)))
        for first in range(0, len(self.rows), step):
            (a, b), *more = self.vectors
            values = a[first : first + step] @ b.T
            for a, b in more:
                values += a[first : first + step] @ b.T
            if more:
                values /= len(self.vectors)
            yield Block(first, 0, values)

    def pairs(self, a: NDArray, b: NDArray) -> NDArray[np.float64]:
        """Multiplies vector by vector."""
        rows, row_known = _places(self.rows, a)
        columns, column_known = _places(self.columns, b)
        found = np.full(len(a), np.nan)
        known = np.flatnonzero(row_known & column_known)
        step = max(1, self._cells // 8 // max(1, self.vectors[0][0].shape[1]))
        for first in range(0, len(known), step):
            part = known[first : first + step]
            total = torch.zeros(len(part), dtype=torch.float64)
            for of_a, of_b in self.vectors:
                left, right = (
                    v[torch.from_numpy(i).to(v.device)] for v, i in ((of_a, rows[part]), (of_b, columns[part]))
                )
                total += (left * right).sum(1, dtype=torch.float64).cpu()
            found[part] = total.numpy() / len(self.vectors)
        return found

    def only(self, latent: int) -> Cosine:
        """Takes its vectors alone."""
        here = np.flatnonzero(self.rows == latent)
        vectors = [(a[here.tolist()], b) for a, b in self.vectors]
        return Cosine(vectors, self.rows[here], self.columns, self._cells)


def _places(known: NDArray[np.int64], wanted: NDArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Returns where in ``known`` each of ``wanted`` is, and whether it is there."""
    places = np.searchsorted(known, wanted)
    places = np.minimum(places, max(0, len(known) - 1))
    return places, (known[places] == wanted) if len(known) else np.zeros(len(wanted), bool)


def unit(vectors: Tensor) -> Tensor:
    """Returns ``vectors`` [n, width] in float32 at unit norm; a zero vector stays one."""
    vectors = vectors.float()
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True, dtype=torch.float64)
    return vectors / torch.where(norms > 0, norms, 1).float()
