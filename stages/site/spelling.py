"""Windows of tokens as numbers into a short table of strings, many windows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.corpus.alone import alone
from stages.corpus.tokens import Vocabulary
from stages.corpus.units import joined, parts
from stages.site.digits import short
from stages.text.display import visible

Shown = str | list[str]
"""What a token shows; a special token shows its name, in a list of its own."""


class Spelling:
    """What the tokens of a vocabulary show on a page."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary, self._spellings = vocabulary, vocabulary.spellings
        self.token: list[Shown] = [
            [visible(text)] if special else visible(text)
            for text, special in zip(vocabulary.strings, vocabulary.special.tolist(), strict=True)
        ]
        """What each shows that holds no part of a character."""
        self._is_part = parts(vocabulary)
        self._joined: dict[tuple[int, ...], list[str]] = {}

    def name(self, token: int) -> str:
        """What a token shows on its own, as text."""
        return visible(alone(token, self._vocabulary))

    def table(self, ids: NDArray[np.int32]) -> tuple[list[Shown], NDArray[np.int64]]:
        """Returns the strings of [n, window] tokens, one for each that occurs, and for every token the place of its string.

        A character that several tokens spell stands at the first of them, and the others are empty.
        """
        found, more = self._with_characters(ids)
        used = np.zeros(len(self.token) + len(more), bool)
        used[found] = True
        place = np.cumsum(used) - 1
        n = len(self.token)
        strings = [self.token[token] if token < n else more[token - n] for token in np.flatnonzero(used).tolist()]
        return strings, place[found]

    def _with_characters(self, ids: NDArray[np.int32]) -> tuple[NDArray[np.int64], list[str]]:
        """The ids with pieces of characters replaced by ids behind the vocabulary, and what these show."""
        found = ids.astype(np.int64)
        pieces = self._is_part[found]
        if not pieces.any():
            return found, []
        edges = np.diff(np.pad(pieces, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        rows, firsts = np.nonzero(edges == 1)
        _, ends = np.nonzero(edges == -1)
        more: dict[str, int] = {}
        for row, first, end in zip(rows.tolist(), firsts.tolist(), ends.tolist(), strict=True):
            texts = self._characters(tuple(found[row, first:end].tolist()))
            found[row, first:end] = [len(self.token) + more.setdefault(text, len(more)) for text in texts]
        return found, list(more)

    def _characters(self, run: tuple[int, ...]) -> list[str]:
        """What consecutive tokens that hold pieces of characters show."""
        if run not in self._joined:
            texts = [""] * len(run)
            for begin, _, text in joined([self._spellings[token] for token in run]):
                texts[begin] = visible(text)
            self._joined[run] = texts
        return self._joined[run]


def sparse(values: NDArray[np.float32]) -> list[list[float]]:
    """Returns [n, window] values as n lists of a place and what is there, in turn, in few digits and without zeros."""
    rows, places = np.nonzero(values)
    flat: list[float] = [0] * (2 * len(rows))
    flat[::2] = places.tolist()
    flat[1::2] = short(values[rows, places]).tolist()
    ends = (2 * np.cumsum(np.bincount(rows, minlength=len(values)))).tolist()
    return [flat[first:end] for first, end in zip([0, *ends], ends, strict=False)]
