"""What a scorer shows of a latent: its test and negative windows as texts."""

from __future__ import annotations

from typing import NamedTuple

from stages.corpus.tokens import Vocabulary
from stages.scorers import Item


class Example(NamedTuple):
    """One text to be judged."""

    text: str
    window: int
    role: str
    kind: str | None
    decile: int
    active: bool


def windows(item: Item, vocabulary: Vocabulary) -> list[Example]:
    """The test and negative windows of a latent as texts."""
    found = []
    for role, part in (("test", item.examples.test), ("negative", item.examples.negative)):
        for place in range(len(part)):
            text = vocabulary.text(part.tokens[place])
            found.append(
                Example(
                    text, int(part.numbers[place]), role, part.kinds[place], int(part.deciles[place]), role == "test"
                )
            )
    return found
