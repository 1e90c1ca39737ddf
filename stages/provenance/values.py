"""Values of params.yaml and how they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

MISSING = object()
WIDTH = 60
"""Characters of a value that are shown."""


def at(value: Any, key: str) -> Any:
    """What is under a dotted ``key``; MISSING if there is nothing."""
    for part in key.split("."):
        value = value.get(part, MISSING) if isinstance(value, dict) else MISSING
    return value


def differences(key: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yields (dotted key, before, after) of every leaf that differs."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in {**was, **now}:
            yield from differences(f"{key}.{name}", was.get(name, MISSING), now.get(name, MISSING))
    elif was != now and not (was is None and now is MISSING):
        yield key, was, now


def shown(value: Any) -> str:
    """A value as JSON, cut to a line."""
    text = "not there" if value is MISSING else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
