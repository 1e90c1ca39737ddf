"""Text in a terminal, shaded by how strongly a latent fires on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click

SHADES = (223, 215, 208, 202)
"""Background colours of the 256-colour palette, for weak to strong activations; black reads well on each."""
BLACK = 16

Shade = Callable[[str, float], str]
"""Marks a text by the share of the latent's maximum with which it fires there."""


def is_terminal() -> bool:
    """Whether the output goes to a terminal whose user wants colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def coloured(text: str, level: float) -> str:
    """The mark for a terminal."""
    step = min(len(SHADES) - 1, int(level * len(SHADES)))
    return click.style(text, fg=BLACK, bg=SHADES[step])


def bracketed(text: str, level: float) -> str:
    """The mark for a file or a pipe."""
    return f"«{text}»"
