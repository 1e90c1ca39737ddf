"""What a scorer shows of a latent: its test and negative windows as texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
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
    found: list[Example] = []
    parts = {"test": item.examples.test, "negative": item.examples.negative}
    for number, (role, part) in enumerate(parts.items()):
        own = np.arange(len(part)) if chosen is None else np.asarray(chosen[number], np.int64)
        texts, starts, deciles = vocabulary.texts(part.tokens[own]), part.starts[own], part.deciles[own]
        kinds = (part.kinds[place] for place in own.tolist())
        columns = zip(texts, starts.tolist(), kinds, deciles.tolist(), strict=True)
        found += [Example(text, start, role, kind, decile, role == "test") for text, start, kind, decile in columns]
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
    return tables([Ready(item, examples, found)])[0]


class Repeated:
    """A column in which values come several times in a row."""

    def __init__(self) -> None:
        """Begins an empty one."""
        self.values: list[str | None] = []
        self.times: list[int] = []

    def add(self, value: str | None, n: int) -> None:
        """Takes a value ``n`` times."""
        self.values.append(value)
        self.times.append(n)


class Ready(NamedTuple):
    """An item, the examples of it that were shown, and columns of what was found of them."""

    item: Item
    examples: Sequence[Example]
    found: Mapping[str, Sequence[Any] | Repeated]


def tables(ready: Sequence[Ready]) -> list[pa.Table]:
    """Returns the ``verdicts`` on several items, of which the same columns were found; made at once, they cost a fraction of it.

    Items that have the very same list of examples share what is made of them.
    """
    if not ready:
        return []
    n = np.array([len(one.examples) for one in ready], np.int64)
    shared: dict[int, int] = {}
    of = np.array([shared.setdefault(id(one.examples), place) for place, one in enumerate(ready)], np.int64)
    lists = [ready[place].examples for place in shared.values()]
    begins = dict(zip(shared.values(), np.cumsum([0, *map(len, lists)]).tolist(), strict=False))
    shown = list(zip(*chain.from_iterable(lists), strict=True)) or [()] * len(Example._fields)
    columns = dict(zip(Example._fields, shown, strict=True))
    windows = np.array(columns["window"], np.int64)
    owners = np.repeat(np.arange(len(lists)), list(map(len, lists)))
    ordered = np.lexsort((windows, owners))
    # Of every row its place among the examples of all lists, and where it lies as things were found.
    shift = np.array([begins[place] for place in of.tolist()], np.int64) - np.cumsum([0, *n[:-1]])
    places = ordered[np.arange(n.sum()) + np.repeat(shift, n)]
    found = pa.array(places - np.repeat(shift, n))
    of_examples = pa.array(places)
    arrays = []
    for field in verdicts_schema():
        if field.name == "explanation":
            controls = pa.array([one.item.control for one in ready], field.type)
            arrays.append(controls.take(pa.array(np.repeat(np.arange(len(n)), n))))
        elif field.name == "latent":
            arrays.append(pa.array(np.repeat([one.item.examples.latent for one in ready], n), field.type))
        elif field.name in ready[0].found:
            arrays.append(_joined([one.found[field.name] for one in ready], field.type, found))
        elif field.name in columns and field.name != "text":
            arrays.append(pa.array(columns[field.name], field.type).take(of_examples))
        else:
            arrays.append(pa.nulls(len(places), field.type))
    whole = pa.Table.from_arrays(arrays, schema=verdicts_schema())
    starts = np.cumsum([0, *n]).tolist()
    return [whole.slice(start, end - start) for start, end in pairwise(starts)]


def _joined(parts: Sequence[Sequence[Any] | Repeated], kind: pa.DataType, rows: pa.Array) -> pa.Array:
    """The ``rows`` of a column that is given part by part."""
    if isinstance(parts[0], Repeated):
        repeated = [part for part in parts if isinstance(part, Repeated)]
        values = pa.array(list(chain.from_iterable(part.values for part in repeated)), kind)
        if values.null_count == len(values):
            return pa.nulls(len(rows), kind)
        times = np.fromiter(chain.from_iterable(part.times for part in repeated), np.int64)
        return values.take(pa.array(np.repeat(np.arange(len(times)), times)).take(rows))
    found = pa.array(list(chain.from_iterable(part for part in parts if not isinstance(part, Repeated))), kind)
    return pa.nulls(len(rows), kind) if found.null_count == len(found) else found.take(rows)
