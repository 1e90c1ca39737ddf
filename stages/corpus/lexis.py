"""What a reader sees at every token of a window: the word it belongs to, the one before, its shape and its surroundings.

Everything is read from the window alone, as a judge sees it, so a word cut by the window's edge is the part that shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

UNIT = re.compile(r"<[|\uff5c]\w+[|\uff5c]>|[^\W_]+|_+|[^\w\s]+|\s+")
"""A turn mark such as ``<|im_start|>``, a word, a run of symbols or of white space."""
PLACES = {
    "code examples": re.compile(r"^[ \t]*(?:>>>|\.\.\. ).*$", re.MULTILINE),
    "formulas": re.compile(r":math:`[^`]*`?|\$[^$\n]+\$?|\\[a-zA-Z]+\S*"),
    "web addresses": re.compile(r"https?://\S+"),
    "inline code": re.compile(r"`+[^`\n]+`*"),
    "parameter descriptions": re.compile(r"^[ \t]*[`*]{0,2}\w+[`*]{0,2} ?(?:\([^)\n]*\)?)? ?: ?.*$", re.MULTILINE),
    "underlined headings": re.compile(r"^[ \t]*[-=~]{4,}[ \t]*$", re.MULTILINE),
}
"""Surroundings that a reader of technical prose would name, and how they look."""

SHAPES = {
    "a number": re.compile(r"\d+"),
    "a line break": re.compile(r"\s*\n\s*"),
    "a run of spaces": re.compile(r"[ \t]{2,}"),
    "an opening bracket": re.compile(r"\s*[(\[{]+"),
    "a closing bracket": re.compile(r"\s*[)\]}]+"),
    "an all-capitals word": re.compile(r"\s*[A-Z]{2,}"),
    "a capitalized word": re.compile(r"\s*[A-Z][a-z]+"),
    "a part of a word": re.compile(r"[a-z]+"),
    "a lower-case word": re.compile(r"\s+[a-z]+"),
    "a punctuation mark": re.compile(r"\s*[^\w\s]+"),
}
"""Kinds of tokens, the first that fits the whole token."""


QUOTED = re.compile(r'"((?:\\["\\/bfnrtu]|[^"])+?)"')
r"""A text between quotes, in which ``\"`` is no end."""

BOX = "\u2423"
"""Stands for a space that would not be seen."""


class Sight(NamedTuple):
    """One token of a window as a reader sees it."""

    piece: str
    """The token: a whole word in lower case, a part of one with hyphens where the word goes on (``-ing``), or symbols."""
    word: str
    """The whole word or run of symbols that it belongs to, in lower case."""
    before: str
    """The word or symbols before that one; empty at the start of the window."""
    shape: str
    places: tuple[str, ...]


@lru_cache(maxsize=1 << 18)
def shape_of(token: str) -> str:
    """The first of SHAPES that fits ``token`` whole, or ``"a symbol"``."""
    return next((name for name, pattern in SHAPES.items() if pattern.fullmatch(token)), "a symbol")


def spelt(text: str) -> str:
    r"""Returns ``text`` as it is written between quotes: on one line, with nothing in it that can't be seen or told apart.

    As in JSON, a quote is ``\"``, a backslash two, a line break ``\n``, a no-break space ``\u00a0``; spaces at an end or more than
    one together are open boxes. ``read_back`` gives the text back.
    """
    plain = "".join(c if c.isprintable() and c not in f'"\\{BOX}' else json.dumps(c)[1:-1] for c in text)
    return re.sub(r"^ +| +$|  +", lambda found: BOX * len(found[0]), plain)


def read_back(text: str) -> str:
    """Returns what ``text``, as it stands between quotes, spells; of what ``spelt`` would not have written, such as a formula, what it can."""
    text = text.replace(BOX, " ")
    try:
        return json.loads(f'"{text}"', strict=False)
    except ValueError:
        return text.replace("\\n", "\n").replace("\\t", "\t")


def look(tokens: Sequence[str]) -> list[Sight]:
    """Returns what a reader sees at every token of a window; the texts of ``tokens`` joined are its text."""
    text = "".join(tokens)
    units = [(match.start(), match.group().lower()) for match in UNIT.finditer(text)]
    befores = _befores([unit for _, unit in units])
    spans = [(name, [match.span() for match in pattern.finditer(text)]) for name, pattern in PLACES.items()]
    spans = [(name, found) for name, found in spans if found]
    sights = []
    at = start = 0
    for token in tokens:
        bare = token.strip()
        first = start + len(token) - len(token.lstrip()) if bare else start
        while at + 1 < len(units) and units[at + 1][0] <= first:
            at += 1
        begin, word = units[at] if units else (0, "")
        piece = piece_of(bare, word, first - begin) if bare else token
        places = tuple(name for name, found in spans if any(a <= first < b for a, b in found)) if spans else ()
        sights.append(Sight(piece, word.strip() or word, befores[at] if units else "", shape_of(token), places))
        start += len(token)
    return sights


def _befores(units: list[str]) -> list[str]:
    """What stands before each unit: the last of the two units before it that is no white space, or nothing."""
    return [
        next((unit for unit in reversed(units[max(0, at - 2) : at]) if not unit.isspace()), "")
        for at in range(len(units))
    ]


def piece_of(token: str, word: str, offset: int) -> str:
    """Returns ``token`` in lower case, with a hyphen on each side where it stops short of ``word``'s letters."""
    piece = token.lower()
    if not word[:1].isalnum() or not piece[:1].isalnum():
        return piece
    return f"{'-' if offset else ''}{piece}{'-' if offset + len(piece) < len(word) else ''}"
