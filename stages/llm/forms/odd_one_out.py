"""Which of several examples does not belong: the form of the answer, and how it is read."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, NamedTuple

from stages.llm.forms.labels import KEYS

NAME = "intruder"


class Odd(NamedTuple):
    """The place of the example that was named, or why there is none."""

    place: int | None
    reason: str | None = None


@cache
def schema(n: int) -> dict[str, Any]:
    """The JSON schema of an answer that names one of ``n`` examples by its letter."""
    return {
        "type": "object",
        "properties": {NAME: {"type": "string", "enum": list(KEYS[:n])}},
        "required": [NAME],
        "additionalProperties": False,
    }


def wanted(asked: dict[str, Any] | None) -> bool:
    """Whether this is what a request's schema asks for."""
    return asked is not None and list(asked.get("properties", ())) == [NAME]


def read(content: str | None, n: int) -> Odd:
    """Reads which of ``n`` examples an answer names; anything but one letter of theirs is refused."""
    if content is None:
        return Odd(None, "no answer")
    try:
        value = json.loads(content)
    except ValueError:
        return Odd(None, "the answer is no JSON")
    letter = value.get(NAME) if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(letter, str) or len(letter) != 1 or letter not in KEYS[:n]:
        return Odd(None, "the answer names none of the examples")
    return Odd(KEYS.index(letter))
