"""The form of the site's data: scripts that a page loads when it needs them, from a server or from disk.

A file holds one statement, ``glossa("<name>","<JSON>");``. What it says reaches the page as one string literal and is parsed as JSON,
so nothing in it is executed. A page opened from disk may load scripts, but not read files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson

NAME = re.compile(r"[a-z0-9_/-]+")

# What could end a script or begin markup, and what JavaScript once took for the end of a line.
ESCAPES = tuple((character.encode(), f"\\u{ord(character):04x}".encode()) for character in "<>&\u2028\u2029")

LATENTS, LEAST = 64, 4
"""Latents of a shard, at most and at least."""
BYTES = 2**20
"""About what a shard of windows takes at most, where ``LEAST`` allows it."""
BYTES_A_TOKEN = 4
"""A number below 1,000 and a comma."""


def save(folder: Path, name: str, value: Any) -> None:
    """Writes ``value`` as ``<folder>/<name>.js``.

    Arrays of numpy are lists, what is no number null. Raises TypeError for text that is no Unicode, such as half a surrogate pair;
    ``text.visible`` leaves none.
    """
    path = folder / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(statement(name, orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)))


def statement(name: str, json: bytes) -> bytes:
    """Returns the script that hands ``json`` to the page under ``name``."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} can't be the name of a shard")
    literal = orjson.dumps(json.decode())
    for character, escape in ESCAPES:
        literal = literal.replace(character, escape)
    return b'glossa("%s",%s);\n' % (name.encode(), literal)


def latents_a_shard(window: int, windows: float) -> int:
    """Returns how many latents fit into a shard, given the tokens of a window and the windows of a latent."""
    return int(min(LATENTS, max(LEAST, BYTES // max(1.0, BYTES_A_TOKEN * window * windows))))
