"""What git knows of a file; nothing without git."""

from __future__ import annotations

import subprocess
from pathlib import Path


def head() -> str | None:
    """The commit that is checked out."""
    return _git("rev-parse", "HEAD")


def last_change(path: Path | str) -> str | None:
    """The commit that last changed a file, and when, such as ``1a2b3c… 2025-11-21T12:00:00+00:00``."""
    return _git("log", "-1", "--format=%H %cI", "--", str(path)) or None


def last_author(path: Path | str) -> str | None:
    """Who last changed a file."""
    return _git("log", "-1", "--format=%an", "--", str(path)) or None


def is_as_committed(path: Path | str) -> bool | None:
    """Whether a file is as in the commit that is checked out; None if that has no such file."""
    committed = _git("rev-parse", f"HEAD:./{path}")
    if not committed:
        return None
    return _git("hash-object", "--", str(path)) == committed


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
