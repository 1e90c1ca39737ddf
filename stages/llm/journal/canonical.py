"""A request as bytes: what is hashed is what is sent, so one key stands for one question to one endpoint."""

from __future__ import annotations

import hashlib
import json
from typing import Any

VERSION = 1
"""Part of every key; a change of it asks everything anew."""

CHAT = "/chat/completions"


def encode(body: dict[str, Any]) -> bytes:
    """Returns ``body`` as JSON in its one spelling: sorted keys, no spaces, UTF-8, 0 for 0.0.

    Raises:
        ValueError: it holds NaN, an infinity, a key that is no text, or text that is no Unicode.
    """
    plain = _plain(body)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def key(endpoint: str, body: bytes, sample: int, path: str = CHAT) -> str:
    """Returns the sha256, in hex, that stands for the answer number ``sample`` of ``endpoint`` to ``body``.

    ``endpoint`` is the name that params.yaml declares, not an address: a server may move without its answers being lost.
    """
    head = f"{VERSION}\n{endpoint}\n{path}\n{sample}\n"
    return hashlib.sha256(head.encode() + body).hexdigest()


def _plain(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            if wrong := [key for key in value if not isinstance(key, str)]:
                raise ValueError(f"the key {wrong[0]!r} is no text")
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value
