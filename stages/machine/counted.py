"""Numbers of things, in the lines that stages and commands say."""

from __future__ import annotations

from collections.abc import Sequence


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """Returns ``1 row``, ``1,024 rows``; ``plural`` where it is not ``noun`` with an s."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def are(n: int, noun: str, plural: str | None = None) -> str:
    """Returns ``1 row is``, ``1,024 rows are``."""
    return f"{counted(n, noun, plural)} {'is' if n == 1 else 'are'}"


def listed(names: Sequence[str]) -> str:
    """Returns ``a``, ``a and b``, ``a, b and c``."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
