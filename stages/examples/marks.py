"""Windows as texts in which the tokens on which a latent fires stand between « and »."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.corpus.tokens import Vocabulary
from stages.llm.sanitise import neutralised

OPEN, CLOSE = "\u00ab", "\u00bb"


class Unit(NamedTuple):
    """One token, or several that make up a character together."""

    text: str
    """What it shows, without our marks."""

    activation: float
    """The largest of its tokens."""

    special: bool = False
    """Whether it stands for a special token."""


def units(tokens: NDArray[np.int32], activations: NDArray[np.float32], vocabulary: Vocabulary) -> list[Unit]:
    """Returns what the tokens of a window [window] show, and how the latent fires on each.

    Tokens that hold parts of one character are one unit, so that a mark never breaks a character; one that the window's
    edge cuts is U+FFFD. Special tokens, on which nothing fires, are line breaks, or nothing at the window's beginning.
    """
    found: list[tuple[bytes, float, bool]] = []
    is_open = False  # whether the last unit is of an ordinary token
    for piece, activation, token in zip(vocabulary.pieces(tokens), activations.tolist(), tokens, strict=True):
        if not piece:
            continue
        if is_open and piece[0] & 0xC0 == 0x80:  # goes on with a character in UTF-8
            before, largest, _ = found.pop()
            piece, activation = before + piece, max(largest, activation)
        is_special = bool(vocabulary.special[token])
        found.append((piece, activation, is_special))
        is_open = not is_special
    return [
        Unit(neutralised(piece.decode("utf-8", "replace"), OPEN, CLOSE), activation, is_special)
        for piece, activation, is_special in found
    ]


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
