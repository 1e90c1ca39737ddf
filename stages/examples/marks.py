"""Windows as texts in which the tokens on which a latent fires stand between « and »."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
