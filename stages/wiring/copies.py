"""Copies of DVC's lock files, in Glossa's home: one is taken whenever DVC begins a stage, of the lock file that it will write.

DVC writes a lock file in place when a stage has ended. Killed meanwhile, or out of disk, it leaves a part that no command of its own
accepts any more.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from stages.errors import GlossaError
from stages.machine import runtime
from stages.wiring import git, locks

KEPT = 3
"""Copies of a lock file: the newest that differ."""
STAGE = "DVC_STAGE"
"""What DVC calls the stage that it runs, in the environment."""
WORKSPACES = ".dvc"
"""Folders below it are copies of the project, which DVC makes for experiments and deletes."""


class Copy(NamedTuple):
    """What a lock file held."""

    time: float
    """Seconds since 1970."""
    of: str
    """When that was, for people."""
    content: bytes


def keep() -> None:
    """Copies the lock file of the stage that DVC has just begun. A copy that can't be made is none: it ends no stage."""
    stage = os.environ.get(STAGE)
    if stage is None or WORKSPACES in Path.cwd().resolve().parts:
        return
    lock = locks.file_of(stage)
    with suppress(OSError):
        content = lock.read_bytes()
        folder = _folder(lock)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.time_ns():020d}.{stage.rpartition(':')[2]}"
        partial = folder / f".{name}.partial"
        partial.write_bytes(content)
        partial.replace(folder / name)
        others = [file for file in _files(folder) if file.name != name]
        same = [file for file in others if file.read_bytes() == content]
        kept = [file for file in others if file not in same]
        for file in (*same, *kept[KEPT - 1 :], *folder.glob(".*.partial")):
            file.unlink(missing_ok=True)


def restore() -> list[str]:
    """Puts the newest sound copy, or what git has if that is newer, in the place of every damaged lock file; returns what it did, a sentence each.

    Raises:
        GlossaError: there is nothing to restore one from.
    """
    done = []
    for lock in locks.files():
        try:
            locks.read(lock)
        except GlossaError as error:
            # git merges into a lock file that is as committed, so what HEAD has is all that there was
            copies = _committed(lock) if locks.is_conflict(lock) else []
            copy = max(copies or (*_kept(lock), *_committed(lock)), key=lambda one: one.time, default=None)
            why = str(error).removesuffix(f"; {locks.REMEDY}")
            if copy is None:
                raise GlossaError(
                    f"{why}, and there is neither a copy nor a commit of it that is sound; delete it and run dvc repro, which makes "
                    "anew what it told of"
                ) from None
            partial = lock.with_name(f".{lock.name}.partial")
            partial.write_bytes(copy.content)
            partial.replace(lock)
            done.append(f"{why}; restored it as {copy.of}: dvc repro runs what ended since, and nothing else")
    return done


def _kept(lock: Path) -> list[Copy]:
    found = []
    with suppress(OSError):
        for file in _files(_folder(lock)):
            stamp, _, stage = file.name.partition(".")
            seconds = int(stamp) / 1e9
            at = datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
            found.append(Copy(seconds, f"it was when {stage} began at {at}", file.read_bytes()))
    return _sound(found)


def _committed(lock: Path) -> list[Copy]:
    """What the commit that is checked out holds."""
    content, when = git.content("HEAD", lock), git.last_change(lock)
    if content is None or when is None:
        return []
    commit, _, at = when.partition(" ")
    return _sound([Copy(datetime.fromisoformat(at).timestamp(), f"commit {commit[:12]} has it", content)])


def _sound(copies: list[Copy]) -> list[Copy]:
    found = []
    for copy in copies:
        with suppress(ValueError):
            locks.stages_of(copy.content)
            found.append(copy)
    return found


def _files(folder: Path) -> list[Path]:
    """The copies in a folder, the newest first."""
    files = [file for file in folder.iterdir() if file.name.partition(".")[0].isdecimal()]
    return sorted(files, key=lambda file: file.name, reverse=True)


def _folder(lock: Path) -> Path:
    """Of the copies of a lock file of this project, as several may have the same home."""
    return runtime.home() / "locks" / hashlib.sha256(str(lock.resolve()).encode()).hexdigest()[:16]
