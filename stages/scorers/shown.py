"""What a scorer shows of a latent: its test and negative windows as texts."""

from __future__ import annotations

from typing import Any, NamedTuple

from stages.corpus.tokens import Vocabulary
from stages.scorers import Item


class Example(NamedTuple):
    """One text to be judged."""

    text: str
    window: int
    """Flat position of its first token."""
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
                    text, int(part.starts[place]), role, part.kinds[place], int(part.deciles[place]), role == "test"
                )
            )
    return found


def verdict(
    item: Item,
    example: Example,
    predicted: bool | None = None,
    value: float | None = None,
    reason: str | None = None,
    request: str | None = None,
) -> dict[str, Any]:
    """The row of the verdicts table that says what was found of one example."""
    facts = example._asdict()
    del facts["text"]
    found = {"predicted": predicted, "value": value, "reason": reason, "request": request}
    return {"explanation": item.control, "latent": item.examples.latent, **facts, **found}
