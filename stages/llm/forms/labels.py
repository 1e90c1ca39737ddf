"""Verdicts as a JSON object with a letter for every example, and how such an answer is read."""

from __future__ import annotations

import json
import string
from functools import cache, lru_cache
from typing import Any, NamedTuple

KEYS = string.ascii_lowercase
"""Letters, not digits: a digit in a key can be taken for a label."""


class Labels(NamedTuple):
    """One verdict for every example, or why there are none."""

    verdicts: list[bool] | None
    reason: str | None = None


@cache
def schema(n: int) -> dict[str, Any]:
    """The JSON schema of ``n`` verdicts, in the part of JSON Schema that every server knows."""
    keys = list(KEYS[:n])
    return {
        "type": "object",
        "properties": {key: {"type": "boolean"} for key in keys},
        "required": keys,
        "additionalProperties": False,
    }


@lru_cache(maxsize=4096)
def read(content: str | None, n: int) -> Labels:
    """Reads ``n`` verdicts from an answer; anything but exactly those keys with true or false is refused.

    There are few answers and many questions, so what was read is remembered; nobody changes it.
    """
    if content is None:
        return Labels(None, "no answer")
    try:
        value = json.loads(content)
    except ValueError:
        return Labels(None, "the answer is no JSON")
    if not isinstance(value, dict) or list(value) != list(KEYS[:n]):
        return Labels(None, "the answer has other keys than the examples")
    if not all(isinstance(verdict, bool) for verdict in value.values()):
        return Labels(None, "the answer has verdicts other than true and false")
    return Labels(list(value.values()))
