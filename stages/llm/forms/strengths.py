"""How strongly a latent fires on each token of a text, as a JSON object of whole numbers, and how such an answer is read."""

from __future__ import annotations

import json
import string
from functools import cache, lru_cache
from typing import Any, NamedTuple

HIGHEST = 10
"""Stands for the strongest that the latent fires anywhere; 0 for not at all."""


class Strengths(NamedTuple):
    """One number for every token, or why there are none."""

    values: list[int] | None
    reason: str | None = None


@cache
def keys(n: int) -> list[str]:
    """Returns the names of ``n`` tokens: a … z, aa, ab and so on; letters, as digits can be taken for strengths."""
    return [_name(place) for place in range(n)]


@lru_cache(maxsize=256)
def schema(n: int) -> dict[str, Any]:
    """The JSON schema of the strengths of ``n`` tokens, in the part of JSON Schema that every server knows."""
    strength = {"type": "integer", "enum": list(range(HIGHEST + 1))}
    return {
        "type": "object",
        "properties": dict.fromkeys(keys(n), strength),
        "required": keys(n),
        "additionalProperties": False,
    }


def wanted(schema: dict[str, Any] | None) -> list[str]:
    """Returns the names of the tokens that ``schema`` asks strengths of; none if it asks for something else."""
    parts = (schema or {}).get("properties", {})
    return list(parts) if all(HIGHEST in part.get("enum", ()) for part in parts.values()) else []


def read(content: str | None, n: int) -> Strengths:
    """Reads the strengths of ``n`` tokens; anything but exactly those keys with whole numbers from 0 to 10 is refused."""
    if content is None:
        return Strengths(None, "no answer")
    try:
        value = json.loads(content)
    except ValueError:
        return Strengths(None, "the answer is no JSON")
    if not isinstance(value, dict) or list(value) != keys(n):
        return Strengths(None, "the answer has other keys than the tokens")
    values = list(value.values())
    if set(map(type, values)) - {int} or (values and not 0 <= min(values) <= max(values) <= HIGHEST):
        return Strengths(None, f"the answer has values other than whole numbers from 0 to {HIGHEST}")
    return Strengths(values)


def _name(place: int) -> str:
    letters = string.ascii_lowercase
    head, last = divmod(place, len(letters))
    return (_name(head - 1) if head else "") + letters[last]
