"""Texts as cells of CSV in which no spreadsheet finds a formula, and back."""

from __future__ import annotations

import re

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""How a cell begins that a spreadsheet takes for a formula, or that says by ``'`` in front that it is none."""


def cell(text: str) -> str:
    """Returns a text as a cell."""
    return f"'{text}" if FORMULA.match(text) else text


def text_of(cell: str) -> str:
    """Returns the text of which ``cell`` made a cell."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
