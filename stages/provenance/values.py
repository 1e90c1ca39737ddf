"""Values of params.yaml and how they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

MISSING = object()
WIDTH = 60
"""Characters of a value that are shown."""


def differences(key: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yields (dotted key, before, after) of every leaf that differs."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in {**was, **now}:
            yield from differences(f"{key}.{name}", was.get(name, MISSING), now.get(name, MISSING))
    elif was != now:
        yield key, was, now


def shown(value: Any) -> str:
    """A value as JSON, cut to a line."""
    text = "not there" if value is MISSING else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
