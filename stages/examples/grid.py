"""The places that a window may take in the corpus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stages.corpus.tokens import Tokens


@dataclass(frozen=True)
class Grid:
    """The corpus cut into blocks of a window's length; rows are whole numbers of blocks."""

    window: int
    """Tokens of a window."""
    context_length: int
    n_blocks: int
    edges: NDArray[np.int64] | None
    """Flat positions, from 0 to the end of the corpus, over which no window may reach; None for those between rows."""
    blocks: NDArray[np.int64] | None
    """Numbers of the blocks over which no edge goes and that hold text, increasing; None for all."""
    skipped: int = 0
    """First columns of every row that are no text."""

    @property
    def n_usable(self) -> int:
        """Blocks that can be a window."""
        return self.n_blocks if self.blocks is None else len(self.blocks)

    def usable(self, blocks: NDArray) -> NDArray[np.bool_]:
        """Whether each of ``blocks`` can be a window."""
        return self._marks[blocks]

    @cached_property
    def _marks(self) -> NDArray[np.bool_]:
        marks = np.zeros(self.n_blocks, bool)
        marks[self.blocks] = True  # indexed by None, all of them
        return marks

    def stretch(self, positions: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the first position of the stretch around each of ``positions`` that a window may take, and its end."""
        if self.edges is None:
            first = positions.astype(np.int64) // self.context_length * self.context_length
            return first, first + self.context_length
        place = np.searchsorted(self.edges, positions, side="right")
        return self.edges[place - 1], self.edges[place]


def grid(tokens: Tokens, window: int, across_documents: bool, skipped: int = 0) -> Grid:
    """Returns the places of windows of ``window`` tokens, which divides the length of a row.

    Unless they may go ``across_documents``, no window holds text of two documents. Special tokens between documents belong to
    none, so a window may begin with BOS or end with EOS. A block is no window if all of it lies in the first ``skipped`` columns.
    """
    length = tokens.context_length
    n_positions = tokens.rows * length
    blocks = np.arange(n_positions // window)
    blank = blocks % (length // window) < skipped // window
    if across_documents:
        return Grid(window, length, len(blocks), None, blocks[~blank] if blank.any() else None, skipped)
    flat, special = tokens.matrix.reshape(-1), tokens.vocabulary.special
    starts = tokens.documents["start"].to_numpy()
    starts = starts[(starts % length > 0) & (starts < n_positions)]
    # How far back the text of the document before lies: EOS stands between them, BOS may.
    ends = starts - special[flat[starts - 1]]
    ends -= special[flat[ends - 1]] & (ends < starts) & (ends % length > 0)
    edges = np.union1d(np.arange(0, n_positions + 1, length), starts[ends % length > 0])
    crossed = starts[ends > starts // window * window] // window
    return Grid(window, length, len(blocks), edges, np.setdiff1d(blocks[~blank], crossed), skipped)
