"""Text of the corpus and of language models, made fit to be shown: nothing in it may act on a page or a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from stages.corpus.tokens import Vocabulary
from stages.corpus.units import units

MARKS = {"\n": "↵", "\t": "⇥"}
"""How the commonest characters without a look of their own are shown; the others as ``⟨U+202E⟩``."""

# Controls, formats (bidirectional overrides, zero-width characters), surrogates, line and paragraph separators.
INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
UNUSUAL = re.compile(r"[^ -~]")
"""What is looked at one by one."""


class Segment(NamedTuple):
    """A stretch of a window: silent tokens joined, or what one activating unit shows; see ``corpus.units``."""

    text: str
    value: float
    """The activation; 0 where the latent is silent."""
    special: bool = False
    """Whether it is a special token, shown by its name."""


def visible(text: str) -> str:
    """Returns ``text`` with every control and format character replaced by a mark that can be seen."""
    if text.isprintable():
        return text
    return UNUSUAL.sub(lambda found: _mark(found[0]), text)


def lines(text: str) -> str:
    """The same of a text whose line breaks stay line breaks, such as a prompt."""
    if text.replace("\n", "").isprintable():
        return text
    return "\n".join(map(visible, text.split("\n")))


@cache
def _mark(character: str) -> str:
    if character in MARKS:
        return MARKS[character]
    if unicodedata.category(character) not in INVISIBLE:
        return character
    return f"⟨U+{ord(character):04X}⟩"


def sentence(text: str) -> str:
    """Returns an explanation as one visible line: runs of white space become a space."""
    return visible(" ".join(text.split()))


def segments(tokens: Iterable[int], activations: Iterable[float], vocabulary: Vocabulary) -> list[Segment]:
    """Returns what a window shows, in order; joined, the texts are the visible text of the window.

    A character that several tokens spell together is one segment with the largest of their activations.
    """
    found: list[Segment] = []
    values = [float(value) for value in activations]
    for unit in units(tokens, vocabulary):
        text, value = visible(unit.text), max(0.0, *values[unit.begin : unit.end])
        if unit.special:
            found.append(Segment(text, 0.0, special=True))
        elif value == 0 and found and found[-1].value == 0 and not found[-1].special:
            found[-1] = Segment(found[-1].text + text, 0.0)
        elif text:
            found.append(Segment(text, value))
    return found
