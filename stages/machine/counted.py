"""Numbers of things, in the lines that stages and commands say."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """Returns ``1 row``, ``1,024 rows``; ``plural`` where it is not ``noun`` with an s."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def are(n: int, noun: str, plural: str | None = None) -> str:
    """Returns ``1 row is``, ``1,024 rows are``."""
    return f"{counted(n, noun, plural)} {'is' if n == 1 else 'are'}"
