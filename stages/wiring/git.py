"""What git knows of a file; nothing without git."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path


def head() -> str | None:
    """The commit that is checked out."""
    return _git("rev-parse", "HEAD")


def last_change(*files: Path | str) -> str | None:
    """The commit that last changed one of some files, and when, such as ``1a2b3c… 2025-11-21T12:00:00+00:00``."""
    return _git("log", "-1", "--format=%H %cI", "--", *map(str, files)) or None


def last_author(*files: Path | str) -> str | None:
    """Who last changed one of some files."""
    return _git("log", "-1", "--format=%an", "--", *map(str, files)) or None


def is_as_committed(file: Path | str) -> bool | None:
    """Whether a file is as in the commit that is checked out; None if that has no such file."""
    return are_as_committed([file])[str(file)]


def are_as_committed(files: Iterable[Path | str]) -> dict[str, bool | None]:
    """The same of each of some files, by their paths, as one question."""
    names = [str(file) for file in files]
    listed = (_git("ls-tree", "-r", "-z", "HEAD", "--", *names) or "").split("\0") if names else []
    committed = {name: about.split()[2] for about, _, name in (one.partition("\t") for one in listed if one)}
    here = [name for name in names if name in committed and Path(name).is_file()]
    hashes = (_git("hash-object", "--", *here) or "").split() if here else []
    now = dict(zip(here, hashes, strict=False))
    return {name: now.get(name) == committed[name] if name in committed else None for name in names}


def changed_since(commit: str, folder: Path | str) -> set[str] | None:
    """The files below a folder that are other than in a commit, new ones that git does not ignore among them; None if it can't tell."""
    changed = _git("diff", "--name-only", "-z", "--relative", commit, "--", str(folder))
    new = _git("ls-files", "-z", "--others", "--exclude-standard", "--", str(folder))
    if changed is None or new is None:
        return None
    return {name for name in f"{changed}\0{new}".split("\0") if name}


def content(commit: str, file: Path | str) -> bytes | None:
    """What a file held in a commit; None if that has no such file."""
    return _run("show", f"{commit}:./{file}")


def _git(*arguments: str) -> str | None:
    found = _run(*arguments)
    return None if found is None else found.decode(errors="surrogateescape").strip()


def _run(*arguments: str) -> bytes | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
