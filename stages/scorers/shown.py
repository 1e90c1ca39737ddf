"""What a scorer shows of a latent: its test and negative windows as texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.corpus.tokens import Vocabulary
from stages.examples.table import Windows
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


def windows(
    item: Item, vocabulary: Vocabulary, chosen: tuple[Sequence[int], Sequence[int]] | None = None
) -> list[Example]:
    """The test and negative windows of a latent as texts; of either those at the ``chosen`` places, all if None."""
    found = []
    test, negative = item.examples.test, item.examples.negative
    places = chosen or (range(len(test)), range(len(negative)))
    for role, part, own in (("test", test, places[0]), ("negative", negative, places[1])):
        for place in own:
            text = vocabulary.text(part.tokens[place])
            found.append(
                Example(
                    text, int(part.starts[place]), role, part.kinds[place], int(part.deciles[place]), role == "test"
                )
            )
    return found


def spread(test: Windows, n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Returns the places, ascending, of ``n`` of the test windows, or all: as many from every stretch of strengths."""
    n = min(n, len(test))
    mixed = generator.permutation(len(test))
    by_strength = mixed[np.argsort(test.deciles[mixed], kind="stable")]
    return np.sort(by_strength[(2 * np.arange(n) + 1) * len(test) // (2 * max(1, n))])


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
