"""Secrets out of what a server says, in whatever spelling the server repeats them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stages.text.sanitise import TERMINAL

SHORTEST = 12
"""Characters of a secret that is looked for. Words for servers that need no key, such as ``none``, are shorter, and may well be in an answer."""

SHORTEST_PLAIN = 8
"""Characters that have to be left of one without its escapes and backslashes, to be looked for in other spellings than its own."""

INSTEAD = "[key]"

UNSEEN = bytes(range(32)) + b"\x7f\\"

ESCAPE = re.compile(
    r"\\(?:u00([0-9a-fA-F]{2})|x([0-9a-fA-F]{2}))|%([0-9a-fA-F]{2})|&#(?:[xX]0*([0-9a-fA-F]{1,2})|0*([0-9]{1,3}));"
)
r"""A character as JSON (``\u002d``), an address (``%2D``) or a page (``&#45;``) spells it."""

OTHER = re.compile(r"\\u(?!00)[0-9a-fA-F]{4}")
"""A character that is in no key."""


class Redactor:
    """Looks for the key and whatever else is secret."""

    def __init__(self, secrets: Iterable[str]):
        found = [_Secret(one) for one in sorted(set(secrets), key=len, reverse=True)]  # one may be part of another
        self._secrets = [one for one in found if len(one.said) >= SHORTEST]

    def __call__(self, text: str) -> str:
        """Returns ``text`` without the secrets, however they are escaped there.

        Nothing is left of a text in which one is hidden in another way, behind characters that are removed before a text is shown.
        """
        if not self._secrets:
            return text
        for secret in self._secrets:
            text = text.replace(secret.said, INSTEAD)
        said = plain(text)
        for secret in self._secrets:
            if len(secret.plain) >= SHORTEST_PLAIN and secret.plain in said:
                text = secret.out_of(text)
        return text


class _Secret:
    def __init__(self, said: str):
        self.said, self.plain = said, plain(said)
        self._spelt = re.compile("".join(map(_spellings, said)), re.IGNORECASE)

    def out_of(self, text: str) -> str:
        text = self._spelt.sub(lambda found: INSTEAD if plain(found[0]) == self.plain else found[0], text)
        return INSTEAD if self.plain in plain(text) else text


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
