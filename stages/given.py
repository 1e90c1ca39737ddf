"""Files that people give or name: what is no file, can't be parsed, is not theirs to give or can't be written is one sentence."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from stages.errors import GlossaError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
DEEP = "it is nested too deeply"
DIGITS = 4300
"""Of a number at most; Python reads no more, as that takes the square of their time."""
DEEPEST = 100
"""Brackets in brackets: more than anybody writes."""
MOST = 1_000_000
"""Values that YAML may stand for: by anchors a few lines can say more than fit anywhere."""


def content(path: Path, expected: str, remedy: str, inside: Path | None = None) -> bytes:
    """Returns what is in a file; ``expected`` and ``remedy`` are what messages say, such as ``a file of ratings`` and ``correct the path``.

    Raises:
        GlossaError: see ``check``.
    """
    check(path, expected, remedy, inside)
    try:
        return path.read_bytes()
    except OSError as error:
        raise GlossaError(f"expected {expected} at {path}, but it can't be read: {error.strerror}; {remedy}") from None


def check(path: Path, expected: str, remedy: str, inside: Path | None = None) -> None:
    """Makes sure that there is a file at ``path`` and, if links lead from there, that they stay ``inside`` a folder or in DVC's cache.

    Raises:
        GlossaError: there is none, a folder, a device or a pipe, or a link leads elsewhere.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError):  # nothing there, nothing that may be looked at, links in a circle; no path
        raise GlossaError(f"expected {expected} at {path}, but there is none; {remedy}") from None
    if kind != stat.S_IFREG:
        raise GlossaError(f"expected {expected} at {path}, but that is {KINDS.get(kind, 'no file')}; {remedy}")
    stays(path, expected, inside)


def stays(path: Path, expected: str, inside: Path | None) -> None:
    """Raises GlossaError if there is a folder ``inside`` of which, or DVC's cache, a file or folder should be, and a link leads elsewhere."""
    if inside is None or path.resolve().is_relative_to(inside.resolve()):
        return
    kept = dvc_cache()
    if kept is None or not path.resolve().is_relative_to(kept):
        raise GlossaError(
            f"expected {expected} at {path}, but a link leads from there out of {inside.absolute()}; put the file itself there"
        )


def target(path: Path, expected: str) -> None:
    """Makes sure that a file or folder can be written at ``path``, before the work is done whose result is to go there; leaves nothing.

    Raises:
        GlossaError: what is above it is no folder, or nothing can be made there; or a device or such lies at ``path``.
    """
    try:
        place = Path(os.path.realpath(path))
        if place.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if os.path.lexists(place) and (kind := stat.S_IFMT(place.stat().st_mode)) not in (stat.S_IFREG, stat.S_IFDIR):
            raise OSError(errno.EINVAL, f"that is {KINDS.get(kind, 'no file')}")
        above = next(one for one in place.parents if os.path.lexists(one))
        with tempfile.NamedTemporaryFile(dir=above, prefix=f".{place.name}."):
            pass
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise GlossaError(
            f"expected a place for {expected} at {path}, but can't write there: {why}; name another"
        ) from None


def new_folder(path: Path) -> None:
    """Raises GlossaError, as ``target`` does, unless ``path`` can be made a folder, or is an empty one."""
    target(path, "a folder")
    if os.path.lexists(path) and (not path.is_dir() or any(path.iterdir())):
        raise GlossaError(f"expected a new or an empty folder at {path}, but there is something; name another")


def project(path: str) -> Path | None:
    """Returns the project's folder, out of which no link may lead, if it is there that a ``path`` of params.yaml points; else nothing."""
    is_here = not Path(path).is_absolute() and ".." not in Path(path).parts
    return Path() if is_here else None


def parsed(text: str | bytes, pairs: type[list] | None = None) -> Any:
    """Returns what JSON says; objects as lists of pairs, if ``pairs`` is ``list``.

    Raises:
        ValueError: it is none, or nested too deeply or with too long a number to be read; the message is half a sentence.
    """
    try:
        return json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise ValueError(limit(error) or "it is no JSON") from None


def shallow(value: Any, most: int | None = None) -> Any:
    """Returns ``value``, of JSON or YAML; raises ValueError, with half a sentence, if it is nested too deeply or stands for over ``most`` values."""
    left, n = [(value, 1)], 0
    while left:
        one, depth = left.pop()
        n += 1
        if depth > DEEPEST:
            raise ValueError(DEEP)
        if most is not None and n > most:
            raise ValueError(f"it stands for more than {most:,} values")
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list | tuple) else ()
        left.extend((value, depth + 1) for value in inner)
    return value


def limit(error: Exception) -> str | None:
    """Returns half a sentence on the limit of ours that a parser met; None if it found a mistake in what it parses."""
    if isinstance(error, RecursionError):
        return DEEP
    return f"a number in it has more than {DIGITS:,} digits" if "integer string conversion" in str(error) else None


@cache
def dvc_cache() -> Path | None:
    """Where DVC keeps what it may have linked files of the project to."""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()).resolve() if done.returncode == 0 and done.stdout.strip() else None
