"""The built-in judge as a writer: plain sentences that hold what an explanation quotes, where it says that it stands.

It knows no language: it fills in forms. A baseline for what a language model would write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stages.llm.providers.pattern import Reading

PLAIN = (
    "There is {} here.",
    "We looked at {} again.",
    "It says {} in the second part.",
    "They found {} and went on.",
    "This one has {} as well.",
)
"""Sentences that anything may stand in."""

PLACED = {
    "code examples": ">>> x = {}\n",
    "formulas": "This holds for :math:`a {} b` too.",
    "web addresses": "See https://example.org/{} for more.",
    "inline code": "Call `{}` first.",
    "parameter descriptions": "value : one with {} in it\n",
    "underlined headings": "Notes\n{}\n",
}
"""The same for the surroundings that a pattern knows."""

SHAPED = {
    "a number": "17",
    "a line break": "\n",
    "a run of spaces": "    ",
    "an opening bracket": "(",
    "a closing bracket": ")",
    "an all-capitals word": "NOT",
    "a capitalized word": "Paris",
    "a part of a word": "ing",
    "a lower-case word": "house",
    "a punctuation mark": ";",
}
"""A token of every kind that a pattern knows."""


def wanted(schema: dict[str, Any] | None) -> list[str]:
    """Returns the keys under which texts are to be written; none if something else is asked for."""
    parts = {} if schema is None else schema.get("properties", {})
    return list(parts) if all(part == {"type": "string"} for part in parts.values()) else []


def texts(reading: Reading, n: int) -> list[str]:
    """Returns ``n`` texts that hold what the reading asks for, its targets, words before and places in turn."""
    targets = [_whole(target) for target in sorted(reading.targets)] or [SHAPED[shape] for shape in reading.shapes]
    before, places = sorted(reading.before), list(reading.places)
    found = []
    for i in range(n if targets else 0):
        phrase = targets[i % len(targets)]
        if before:
            word = before[i % len(before)]
            gap = " " if word[-1:].isalnum() and phrase[:1].isalnum() else ""
            phrase = f"{word}{gap}{phrase}"
        found.append((PLACED[places[i % len(places)]] if places else PLAIN[i % len(PLAIN)]).format(phrase))
    return found


def _whole(target: str) -> str:
    """A word that goes on where the hyphens of a part of one say so."""
    core = target.strip("-")
    if not core or not core[0].isalnum():
        return target
    return f"{'st' if target.startswith('-') else ''}{core}{'er' if target.endswith('-') else ''}"
