"""Shards as a page reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

STATEMENT = re.compile(rb'glossa\("([a-z0-9_/-]+)",("(?:[^"\\]|\\.)*")\);\n')


def parse(script: bytes) -> tuple[str, Any]:
    """Returns the name and the value of a shard; the script has to be this one call and nothing else."""
    found = STATEMENT.fullmatch(script)
    assert found, script[:80]
    assert not set(b"<>&\r") & set(script)
    assert script.count(b"\n") == 1
    assert not any(separator.encode() in script for separator in "\u2028\u2029")
    # Without control characters, a JSON string is a string literal of JavaScript of the same value.
    return found[1].decode(), json.loads(json.loads(found[2]))


def load(folder: Path, name: str) -> Any:
    """Returns the value of the shard ``name``."""
    found, value = parse((folder / f"{name}.js").read_bytes())
    assert found == name
    return value


def texts(value: Any) -> list[str]:
    """Returns every text in a value, keys included."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in texts(item)]
    return [text for item in value for text in texts(item)] if isinstance(value, list) else []
