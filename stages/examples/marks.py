"""Windows as texts in which the tokens on which a latent fires stand between « and »."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.corpus import units as displayed
from stages.corpus.tokens import Vocabulary
from stages.text.sanitise import neutralised

OPEN, CLOSE = "\u00ab", "\u00bb"


class Unit(NamedTuple):
    """What a prompt shows of one token, or of several that make up a character together; see ``corpus.units``."""

    text: str
    """What it shows, without our marks."""

    activation: float
    """The largest of its tokens."""

    special: bool = False
    """Whether it stands for a special token."""


@dataclass(frozen=True)
class Shown:
    """What windows show, a row for each; rows are filled up behind their last unit with such as show nothing."""

    texts: NDArray[np.object_]
    """[windows, units] str; empty behind the last one."""
    activations: NDArray[np.float64]
    """[windows, units]."""
    special: NDArray[np.bool_]
    """[windows, units] which stand for special tokens."""
    lengths: NDArray[np.int64]
    """[windows] how many units there are."""

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def of(cls, tokens: NDArray[np.int32], activations: NDArray[np.float32], vocabulary: Vocabulary) -> Shown:
        """Returns the ``units`` of windows [windows, window]."""
        texts, special = vocabulary.mapped(_neutral)[tokens], vocabulary.special[tokens]
        values = activations.astype(np.float64)
        lengths = np.full(tokens.shape[0], tokens.shape[1])
        found = cls(texts, values, special, lengths)
        if not tokens.size:
            return found
        plain = vocabulary.whole[tokens].all(axis=1)
        leading = special[:, 0] & plain
        if leading.any():  # which show nothing
            for column, nothing in ((texts, ""), (values, 0.0), (special, False)):
                column[leading, :-1] = column[leading, 1:]
                column[leading, -1] = nothing
            lengths[leading] -= 1
        for row in np.flatnonzero(~plain).tolist():
            found._fill(row, units(tokens[row], activations[row], vocabulary))
        return found

    def _fill(self, row: int, shown: Sequence[Unit]) -> None:
        self.lengths[row] = len(shown)
        filled = [*shown, *[Unit("", 0.0)] * (self.texts.shape[1] - len(shown))]
        self.texts[row] = [unit.text for unit in filled]
        self.activations[row] = [unit.activation for unit in filled]
        self.special[row] = [unit.special for unit in filled]

    @property
    def there(self) -> NDArray[np.bool_]:
        """[windows, units] which are units, and do not fill a row up."""
        return np.arange(self.texts.shape[1]) < self.lengths[:, None]

    def chosen(self, rows: NDArray[np.int64]) -> Shown:
        """Returns what some of the windows show."""
        return Shown(self.texts[rows], self.activations[rows], self.special[rows], self.lengths[rows])

    def marked(self, marks: NDArray[np.bool_]) -> list[str]:
        """Returns the text of every window with each run of units whose mark [windows, units] is true between « and »."""
        cells = np.full((len(self), self.texts.shape[1] + 1), "", object)
        cells[:, :-1] = self.texts
        edges = np.zeros(cells.shape, np.int8)
        edges[:, :-1] = marks
        edges[:, 1:] -= marks
        there = np.nonzero(edges)
        cells[there] = _SIGNS[edges[there]] + cells[there]
        return list(map("".join, cells.tolist()))

    def unmarked(self) -> list[str]:
        """Returns the text of every window."""
        return list(map("".join, self.texts.tolist()))


_SIGNS = np.array(["", OPEN, CLOSE], object)
"""Where marks begin, 1, and where they end, -1."""


def _neutral(text: str) -> str:
    return neutralised(text, OPEN, CLOSE) if OPEN in text or CLOSE in text else text


def units(tokens: NDArray[np.int32], activations: NDArray[np.float32], vocabulary: Vocabulary) -> list[Unit]:
    """Returns what the tokens of a window [window] show, and how the latent fires on each.

    Tokens that hold parts of one character are one unit, so that a mark never breaks a character; one that the window's
    edge cuts is U+FFFD. Special tokens, on which nothing fires, are line breaks, or nothing at the window's beginning.
    """
    if vocabulary.whole[tokens].all() and not vocabulary.special[tokens].any():  # the rule; faster
        texts = map(vocabulary.strings.__getitem__, tokens.tolist())
        return [
            Unit(neutralised(text, OPEN, CLOSE), value) for text, value in zip(texts, activations.tolist(), strict=True)
        ]
    found = displayed.units(tokens.tolist(), vocabulary)
    shown = []
    for unit, activation in zip(found, displayed.largest(found, activations).tolist(), strict=True):
        text = unit.text if not unit.special else "\n" if unit.begin else ""
        if text:
            shown.append(Unit(neutralised(text, OPEN, CLOSE), activation, unit.special))
    return shown


def marked(units: Sequence[Unit], marks: Iterable[bool]) -> str:
    """Returns the text of a window with every run of units whose mark is true between « and »."""
    parts = []
    inside = False
    for unit, mark in zip(units, marks, strict=True):
        if mark != inside:
            parts.append(OPEN if mark else CLOSE)
            inside = mark
        parts.append(unit.text)
    return "".join(parts) + (CLOSE if inside else "")
