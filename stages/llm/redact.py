"""A key out of what a server says, in whatever spelling the server repeats it."""

from __future__ import annotations

import re

from stages.llm.sanitise import TERMINAL

SHORTEST = 12
"""Characters of a key that is looked for. Words for servers that need no key, such as ``none``, are shorter, and may well be in an answer."""

INSTEAD = "[key]"

UNSEEN = bytes(range(32)) + b"\x7f\\"

ESCAPE = re.compile(
    r"\\(?:u00([0-9a-fA-F]{2})|x([0-9a-fA-F]{2}))|%([0-9a-fA-F]{2})|&#(?:[xX]0*([0-9a-fA-F]{1,2})|0*([0-9]{1,3}));"
)
r"""A character as JSON (``\u002d``), an address (``%2D``) or a page (``&#45;``) spells it."""

OTHER = re.compile(r"\\u(?!00)[0-9a-fA-F]{4}")
"""A character that is in no key."""


class Redactor:
    """Looks for one key."""

    def __init__(self, key: str | None):
        self._plain = plain(key or "")
        self._key = key if len(self._plain) >= SHORTEST else None
        self._spelt = re.compile("".join(map(_spellings, self._key or "")), re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """Returns ``text`` without the key, however it is escaped there.

        Nothing is left of a text in which the key is hidden in another way, behind characters that are removed before a text is shown.
        """
        if self._key is None:
            return text
        text = text.replace(self._key, INSTEAD)
        if self._plain not in plain(text):
            return text
        text = self._spelt.sub(lambda found: INSTEAD if plain(found[0]) == self._plain else found[0], text)
        return INSTEAD if self._plain in plain(text) else text


def plain(text: str) -> bytes:
    """Returns ``text`` as it is after decoding, however often that is done: the ASCII in it, without escapes, backslashes and controls."""
    text = ESCAPE.sub(_character, OTHER.sub("", text))
    if "\x1b" in text:
        text = TERMINAL.sub("", text)
    return text.encode("ascii", "ignore").translate(None, UNSEEN)


def _character(found: re.Match[str]) -> str:
    *hexadecimal, decimal = found.groups()
    return chr(int(decimal) if decimal else int(next(filter(None, hexadecimal)), 16))


def _spellings(character: str) -> str:
    code = ord(character)
    escapes = rf"\\+u{code:04x}|\\+x{code:02x}|%{code:02x}|&#x0*{code:x};|&#0*{code};"
    return rf"(?:\\*{re.escape(character)}|{escapes})"
