"""What a scorer shows of a latent: its test and negative windows as texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.corpus.tokens import Vocabulary
from stages.examples.table import Windows
from stages.scorers import Item
from stages.scorers.table import verdicts_schema


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


def verdicts(item: Item, examples: Sequence[Example], **found: Sequence[Any]) -> pa.Table:
    """Returns the verdicts on the examples of an item, by window; ``found`` are columns of them, others are null.

    A column of the examples themselves, such as ``active``, may be given as well, where it is known by now only.
    """
    shown = zip(*examples, strict=True) if examples else [()] * len(Example._fields)
    columns: dict[str, Sequence[Any]] = dict(zip(Example._fields, shown, strict=True))
    columns["text"] = [None] * len(examples)
    columns |= found
    n = len(examples)
    arrays = []
    for field in verdicts_schema():
        if field.name == "explanation":
            arrays.append(pa.repeat(pa.scalar(item.control, field.type), n))
        elif field.name == "latent":
            arrays.append(pa.repeat(pa.scalar(item.examples.latent, field.type), n))
        else:
            column = columns.get(field.name)
            arrays.append(pa.nulls(n, field.type) if column is None else pa.array(column, field.type))
    order = np.argsort(np.asarray(columns["window"], np.int64), kind="stable")
    return pa.Table.from_arrays(arrays, schema=verdicts_schema()).take(order)
