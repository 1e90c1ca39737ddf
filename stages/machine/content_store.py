"""Folders that are kept by the content they depend on, within a number of bytes, and hashed again before they are used.

A folder of it holds ``content/`` and ``manifest.json``: what it is, and the sha256 of every file and of all this. It appears whole
under its name or not at all. Files are linked where that can be, so others may hold the same ones: nothing here ever writes into
one, and none is believed unseen, since others might have. Whoever uses or writes a folder holds a lock on its manifest, which ends
with the process. All of it may be deleted at any time.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from stages.machine import links, runtime
from stages.machine.progress import bar
from stages.outputs import dumps, file_sha256, fingerprint

MANIFEST = "manifest.json"
CONTENT = "content"
LOCK = ".lock"
FULL = (errno.ENOSPC, errno.EDQUOT)


class DamagedError(Exception):
    """What was kept is not what it was, and has been deleted; says how that shows."""


class NotKeptError(Exception):
    """Something can't be kept; says why."""


@dataclass(frozen=True)
class ContentStore:
    """Folders, each kept by what it is ``about``: JSON that says all that decides its content."""

    folder: Path
    most: int
    """Bytes that all of them may take; with 0 nothing is kept, and nothing is found."""

    def has(self, about: Mapping[str, Any]) -> bool:
        """Whether such a folder is kept; whether it is whole is found out when it is taken."""
        return self.most > 0 and (self._place(about) / MANIFEST).is_file()

    def take(self, about: Mapping[str, Any], into: Path) -> bool:
        """Puts the content of such a folder into ``into``, which is empty, and returns whether there is one.

        Every file is hashed where it has been put, so that nobody can change or remove it in between.

        Raises:
            DamagedError: it is not what was kept; nothing of it is left, here or there.
            OSError: the disk of ``into`` is full.
        """
        place = self._place(about)
        if not self.has(about):
            return False
        try:
            with (place / MANIFEST).open("rb") as manifest:
                _lock(manifest, fcntl.LOCK_SH)
                files = _read(manifest, about)
                _put(place / CONTENT, into, list(files))
                for name, found in _hashes(into, list(files)):
                    if found != files[name]:
                        raise DamagedError(f"{name} is not what it was")
                with suppress(OSError):
                    os.utime(place / MANIFEST)  # so that what was used least lately is known
        except (DamagedError, OSError) as error:
            for part in into.iterdir():
                shutil.rmtree(part, ignore_errors=True)
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            if not self.has(about):
                return False  # somebody has deleted it meanwhile
            with suppress(OSError), self._alone():
                self._drop(place)
            raise DamagedError(_why(error)) from None
        return True

    def keep(self, about: Mapping[str, Any], source: Path, parts: Sequence[str]) -> None:
        """Keeps the folders ``parts`` of ``source``. Where room is needed, what was used least lately goes, unless it is in use.

        Raises:
            NotKeptError: there is no room, or the file system does not let it; nothing is left of it then.
        """
        place, partial = self._place(about), self.folder / f".{secrets.token_hex(8)}"
        files = [file for part in parts for file in (source / part).rglob("*") if file.is_file()]
        names = sorted(file.relative_to(source).as_posix() for file in files)
        size = sum(file.stat().st_size for file in files)
        if not self.most:
            self.trim()
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                self._sweep()
                if self.has(about):
                    return
                self._make_room(size)
                partial.mkdir()
                manifest = (partial / MANIFEST).open("wb")
                _lock(manifest, fcntl.LOCK_EX)
            with manifest:
                _put(source, partial / CONTENT, names, lambda: self._check_disk(size))
                content = {"about": dict(about), "files": dict(_hashes(partial / CONTENT, names))}
                manifest.write(dumps({**content, "sha256": fingerprint(content)}).encode())
                manifest.flush()
                with self._alone():
                    if self.has(about):
                        return  # another process was faster
                    if place.exists():
                        self._drop(place)  # it has lost its manifest
                    partial.rename(place)
        except OSError as error:
            raise NotKeptError(_why(error)) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def trim(self) -> None:
        """Deletes what is more than may be kept, and what killed processes have left."""
        with suppress(OSError, NotKeptError), self._alone():
            self._sweep()
            self._make_room(0)

    def _place(self, about: Mapping[str, Any]) -> Path:
        return self.folder / fingerprint(about)[:32]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes from beginning or deleting anything meanwhile."""
        with (self.folder / LOCK).open("wb") as lock:
            _lock(lock, fcntl.LOCK_EX)
            yield

    def _sweep(self) -> None:
        """Deletes unfinished folders of processes that are no more."""
        for found in self.folder.iterdir():
            if found.name.startswith(".") and found.is_dir():
                self._drop_unused(found)

    def _make_room(self, size: int) -> None:
        """Deletes folders until ``size`` bytes more may be kept; raises NotKeptError where they can't be."""
        if size > self.most:
            raise NotKeptError(f"{_gb(size)} GB are more than the {_gb(self.most)} of keep_gb in runtime.yaml")
        kept = sorted(
            _use(found) for found in self.folder.iterdir() if found.is_dir() and not found.name.startswith(".")
        )
        total = sum(taken for _, _, taken in kept)
        for _, found, taken in kept:
            if total + size <= self.most:
                return
            if self._drop_unused(found):
                total -= taken
        if total + size > self.most:
            raise NotKeptError(f"{_gb(total)} of the {_gb(self.most)} GB of keep_gb in runtime.yaml are in use")

    def _check_disk(self, size: int) -> None:
        """Raises NotKeptError unless what is kept can go on taking its room when DVC has made a copy of its own, and lets go of it."""
        free = shutil.disk_usage(self.folder).free
        if 2 * size > free:
            raise NotKeptError(
                f"with DVC's own copy it takes {_gb(2 * size)} GB, and {_gb(free)} are free in {self.folder}"
            )

    def _drop_unused(self, place: Path) -> bool:
        """Deletes a folder unless a process is at it; returns whether it is gone."""
        try:
            manifest = (place / MANIFEST).open("r+b")
        except FileNotFoundError:
            self._drop(place)
        except OSError:
            return False  # it is somebody else's
        else:
            with manifest:
                if not _lock(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    return False
                self._drop(place)
        return not place.exists()

    def _drop(self, place: Path) -> None:
        gone = self.folder / f".{secrets.token_hex(8)}"
        with suppress(OSError):
            place.rename(gone)  # at once: nobody finds a half of it
            shutil.rmtree(gone, ignore_errors=True)


def _read(manifest: IO[bytes], about: Mapping[str, Any]) -> dict[str, str]:
    """Returns {name: sha256} of all files; raises DamagedError if the manifest is not one of such a folder."""
    try:
        found = json.loads(manifest.read())
        sha256 = found.pop("sha256")
        files, whole = found["files"], fingerprint(found) == sha256 and found["about"] == about
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise DamagedError(f"{MANIFEST} is not what it was")
    return files


def _put(source: Path, target: Path, names: Sequence[str], check: Callable[[], None] | None = None) -> None:
    """Links files into another folder or, where that can't be, copies them; ``check`` is asked first where they take room."""
    how: links.Link | None = "reflink"
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        how = links.link(source / name, target / name) if how else None
        if how != "reflink" and check is not None:
            check()
            check = None
        if how is None:
            shutil.copyfile(source / name, target / name)


def _hashes(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields every name with the sha256 of that file."""
    with bar("hash", len(names), "file") as progress, ThreadPoolExecutor(runtime.processes(), "hash") as threads:
        for name, found in zip(names, threads.map(lambda name: file_sha256(folder / name), names), strict=True):
            yield name, found
            progress.update()


def _use(place: Path) -> tuple[int, Path, int]:
    """Returns when a folder was last used, its path, and its bytes."""
    used = taken = 0
    with suppress(OSError):
        used = (place / MANIFEST).stat().st_mtime_ns
    for file in (place / CONTENT).rglob("*"):
        with suppress(OSError):
            taken += file.stat().st_size if file.is_file() else 0
    return used, place, taken


def _lock(file: IO[bytes], how: int) -> bool:
    """Locks a file until it is closed; returns False if another process has it and ``how`` says not to wait."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks; what goes wrong there is a file that is missing, and is made again
    return True


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f}"


def _why(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
