"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Returns a line for every row: the first ``left`` columns flush left, the others right, two spaces between them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(row, widths, left)).rstrip() for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int], left: int) -> list[str]:
    padded = enumerate(zip(row, widths, strict=True))
    return [text.ljust(width) if place < left else text.rjust(width) for place, (text, width) in padded]
