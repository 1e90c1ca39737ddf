"""Two tables that ought to be the same: in which rows they differ, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages.provenance.values import shown

ROUNDING = 1e-9
"""Two numbers that differ by less, absolutely or relatively, are the same."""


class Difference(NamedTuple):
    """A row that differs."""

    row: dict[str, Any]
    """What identifies it: the values of the key columns."""
    said: str


def differences(
    stored: pa.Table, found: pa.Table, keys: Sequence[str], rounding: float = ROUNDING
) -> Iterator[Difference]:
    """Yields the rows of ``stored`` that ``found``, computed anew, does not have so, and those that only one has.

    Rows with the same keys are taken in their order.
    """
    if stored.equals(found):
        return
    same_rows = stored.select(keys).equals(found.select(keys))
    if same_rows:
        differ = np.zeros(len(stored), bool)
        for name in stored.column_names:
            differ |= _differ(stored[name], found[name], rounding)
        places = np.flatnonzero(differ)
        stored, found = stored.take(places), found.take(places)
    before, after = _by_key(stored, keys), _by_key(found, keys)
    for key, row in before.items():
        identity = dict(zip(keys, key, strict=False))
        if key not in after:
            yield Difference(identity, "is there, but should not be")
            continue
        changed = [name for name in row if not same(row[name], after[key][name], rounding)]
        if changed:
            said = ", ".join(
                f"{name} is {shown(row[name])}, should be {shown(after[key][name])}" for name in changed[:2]
            )
            yield Difference(identity, said)
    for key in after:
        if key not in before:
            yield Difference(dict(zip(keys, key, strict=False)), "is missing")


def _by_key(table: pa.Table, keys: Sequence[str]) -> dict[tuple, dict[str, Any]]:
    seen: Counter[tuple] = Counter()
    found = {}
    for row in table.to_pylist():
        key = tuple(row[name] for name in keys)
        found[*key, seen[key]] = row
        seen[key] += 1
    return found


def _differ(a: pa.ChunkedArray, b: pa.ChunkedArray, rounding: float) -> np.ndarray:
    if pa.types.is_floating(a.type):
        return ~np.isclose(a.to_numpy(), b.to_numpy(), rtol=rounding, atol=rounding, equal_nan=True)
    return np.array([x != y for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True)], bool)


def same(a: Any, b: Any, rounding: float = ROUNDING) -> bool:
    """Whether two values of a cell are the same, or nearly, if they are numbers with a fraction."""
    if isinstance(a, float) and isinstance(b, float):
        return bool(np.isclose(a, b, rtol=rounding, atol=rounding, equal_nan=True))
    return a == b
