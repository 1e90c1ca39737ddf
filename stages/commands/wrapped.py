"""Styled lines that fit into a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

INDENT = "    "
"""Before all lines of a text but the first."""
RESET = "\x1b[0m"
PARTS = re.compile(r"\x1b\[[0-9;]*m| +|[^ \x1b]+")


def wrapped(line: str, width: int) -> str:
    """Returns a line that ``click.style`` has coloured, broken at spaces, no colour reaching over the edge; ``width`` in columns."""
    if width < 2 * len(INDENT):
        return line
    lines, column, style = [""], 0, ""
    for part in _pieces(line, width - len(INDENT)):
        if part.startswith("\x1b"):
            style = "" if part == RESET else style + part
            lines[-1] += part
            continue
        if column + columns(part) > width:
            if not part.strip():
                continue
            lines[-1] = lines[-1].rstrip(" ") + (RESET if style else "")
            lines.append(INDENT + style)
            column = len(INDENT)
        lines[-1] += part
        column += columns(part)
    return "\n".join(lines)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: two for a wide character of East Asia or an emoji, none for an accent."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _pieces(line: str, room: int) -> Iterator[str]:
    """Styles, runs of spaces and words; a word without room on a line comes in parts."""
    for part in PARTS.findall(line):
        if part.startswith("\x1b") or columns(part) <= room:
            yield part
            continue
        some = ""
        for character in part:
            if columns(some + character) > room:
                yield some
                some = ""
            some += character
        yield some
