"""Whether a judge's answers can be verdicts at all, by what is counted of them over a whole stage.

A model that knows nothing of what it is asked may still answer in form: always the same, by place, or because the form lets it say nothing else.
What it scores is then no score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

ENOUGH = 100
"""Verdicts from which on a judge is called so."""
EACH = 20
"""Verdicts at every place from which on places are compared."""
ALMOST = 0.98
"""From this share of equal verdicts on a judge hardly varies, which is doubtful; all being equal, there is no score."""
APART, PLACED = 0.4, 0.8
"""By so much the shares of yes at two places may differ before it is doubtful, and before there is no score. Examples are shuffled, so that places mean nothing."""
SLIGHT = 0.01
"""Probability of all allowed answers together below which a model wanted to say something else."""
UNREAD = 0.5
"""From this share of unread answers on what was read is doubtful."""


class Tally(Counter[str]):
    """Counts of a judge's answers; those of several processes add up."""

    def answered(self, read: bool) -> None:
        """Counts an answer, and whether it could be read."""
        self["asked"] += 1
        self["unread"] += not read

    def verdict(self, place: str, yes: bool) -> None:
        """Counts a verdict on the example at a place."""
        self[f"at {place}"] += 1
        self[f"yes at {place}"] += yes

    def mass(self, probability: float | None) -> None:
        """Counts, if it is known, how probable the allowed values were together at the first place of an answer."""
        if probability is not None:
            self["weighed"] += 1
            self["slight"] += probability < SLIGHT

    def facts(self) -> dict[str, dict[str, int]]:
        """What belongs into the meta."""
        return {"judging": dict(sorted(self.items()))} if self else {}


def void(meta: Mapping[str, Any]) -> str | None:
    """Returns why there is no score, or None if there may be."""
    counts = meta.get("judging", {})
    n, yes = _verdicts(counts)
    if n >= ENOUGH and yes in (0, n):
        return f"the judge said {'yes' if yes else 'no'} to all {n:,} examples"
    if found := _places(counts, PLACED):
        return f"the judge went by the place of an example: {found}"
    if counts.get("weighed", 0) >= EACH and counts["slight"] > counts["weighed"] / 2:
        return _slight(counts)
    return None


def doubts(meta: Mapping[str, Any]) -> list[str]:
    """Returns what makes scores doubtful, or why there are none: clauses with numbers."""
    counts = meta.get("judging", {})
    if reason := void(meta):
        return [f"no score, as {reason}"]
    found = []
    n, yes = _verdicts(counts)
    if n >= ENOUGH and max(yes, n - yes) >= ALMOST * n:
        found.append(f"the judge said {'yes' if 2 * yes > n else 'no'} to {max(yes, n - yes):,} of {n:,} examples")
    if places := _places(counts, APART):
        found.append(f"the judge leant on the place of an example: {places}")
    if counts.get("asked", 0) >= EACH and counts["unread"] >= UNREAD * counts["asked"]:
        found.append(f"{counts['unread']:,} of {counts['asked']:,} answers could not be read")
    if counts.get("slight"):
        found.append(_slight(counts))
    return found


def voided(rows: pa.Table, column: str, reason: str) -> pa.Table:
    """Returns rows of scores or measures with nothing in ``column`` and the interval, and the reason why."""
    for name in (column, "low", "high"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.nulls(len(rows), pa.float64()))
    reasons = pc.fill_null(pa.nulls(len(rows), pa.string()), reason)
    return rows.set_column(rows.schema.get_field_index("reason"), "reason", reasons)


def _verdicts(counts: Mapping[str, int]) -> tuple[int, int]:
    return tuple(sum(n for key, n in counts.items() if key.startswith(what)) for what in ("at ", "yes at "))  # type: ignore[return-value]


def _places(counts: Mapping[str, int], least: float) -> str | None:
    """How the shares of yes differ between two places, if by ``least`` or more."""
    ns = {key.removeprefix("at "): n for key, n in counts.items() if key.startswith("at ") and n >= EACH}
    shares = {place: counts.get(f"yes at {place}", 0) / n for place, n in sorted(ns.items())}
    if len(shares) < 2 or sum(ns.values()) < ENOUGH:
        return None
    low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    if shares[high] - shares[low] < least:
        return None
    return f"yes to {shares[high]:.0%} of those at {high} and {shares[low]:.0%} of those at {low}"


def _slight(counts: Mapping[str, int]) -> str:
    return (
        f"in {counts['slight']:,} of {counts['weighed']:,} answers the values that are allowed have less than {SLIGHT:.0%} of the judge's "
        "probability: it wanted to say something else"
    )
