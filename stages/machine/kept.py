"""Results that outlive every stage, a file for each under its key, in a folder that may be deleted at will.

A file appears whole or not at all, and begins with the hash of the rest: whoever was killed while writing, or two at once, leave nothing
that is read. What was not used for longest makes room, but never what this process has used.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import click

from stages.errors import GlossaError

UNFINISHED = ".partial"
ROOM = 2**32
"""Bytes that are kept at most, unless one run uses more."""
ABANDONED_SECONDS = 86_400
"""After which a file that nobody finished is deleted."""


class Kept:
    """Results of one kind in one folder."""

    def __init__(self, folder: Path, kind: str) -> None:
        """``kind`` is a word for what is kept, with which files begin and their names end."""
        self.folder = folder
        self._magic, self._ending = f"glossa/{kind} 1\n".encode(), f".{kind}"
        self.hits = 0
        """How often something was found."""
        self._used: set[Path] = set()

    def get(self, key: str) -> bytes | None:
        """Returns what is kept under ``key``; None, with a sentence on standard error, if it is damaged."""
        path = self._path(key)
        try:
            found = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._say(path, f"can't be read ({error})")
            return None
        start = len(self._magic) + hashlib.sha256().digest_size
        if found[:start] != self._magic + hashlib.sha256(found[start:]).digest():
            self._say(path, "is damaged")
            return None
        with suppress(OSError):
            os.utime(path)
        self._used.add(path)
        self.hits += 1
        return found[start:]

    def put(self, key: str, content: bytes) -> None:
        """Keeps ``content`` under ``key``.

        Raises:
            GlossaError: the folder can't be written.
        """
        path = self._path(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(UNFINISHED, ".", self.folder)
            partial = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(self._magic + hashlib.sha256(content).digest())
                    file.write(content)
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        except (NotADirectoryError, FileExistsError, IsADirectoryError, PermissionError) as error:
            raise GlossaError(
                f"results should be kept in {self.folder}, but it can't be written ({error}); delete it, or set GLOSSA_HOME to another folder"
            ) from None
        self._used.add(path)

    def make_room(self) -> None:
        """Deletes what was not used for longest until no more than ``ROOM`` is taken, or nothing is left but what this process used."""
        known: list[tuple[float, int, Path]] = []
        for path in self.folder.glob(f"*{self._ending}") if self.folder.is_dir() else ():
            with suppress(OSError):
                facts = path.stat()
                known.append((facts.st_mtime, facts.st_size, path))
        room = ROOM
        for _, size, path in sorted(known, reverse=True):
            room -= size
            if room < 0 and path not in self._used:
                with suppress(OSError):
                    path.unlink()
        for path in self.folder.glob(f".*{UNFINISHED}") if self.folder.is_dir() else ():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    path.unlink()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{self._ending}"

    @staticmethod
    def _say(path: Path, what: str) -> None:
        click.echo(f"{path} {what}; what it holds is made anew", err=True)
