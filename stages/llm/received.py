"""What a server sent as text, whatever its bytes are."""

from __future__ import annotations

import json


def text(body: bytes) -> str:
    r"""Returns a body as text that any file can hold.

    It should be UTF-8; it may be UTF-16 or UTF-32, if its first bytes say so. Bytes that are neither, and NULs, are spelt ``\xe9``.
    Of what it returned itself it changes nothing. JSON with such a byte is none any more, so nothing is read from it that was not said.
    """
    try:
        plain = body.decode(json.detect_encoding(body))
    except UnicodeDecodeError:
        plain = body.decode("utf-8", "backslashreplace")
    return plain.lstrip("\ufeff").replace("\0", "\\x00")
