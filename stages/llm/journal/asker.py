"""Who asks: a file for every process, locked as long as it lives, so that others can tell its claims from those of the dead.

The system lets go of a lock when its process ends, however it ends. The file is also filled: its bytes are given up when the disk is
full, so that answers which are under way then, and may have been paid for, can still be written down.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

ROOM_OF_ONE, MOST_ROOM = 2**16, 2**26
"""Bytes that are held free for an answer under way, with what SQLite writes beside it, and for all of them at most."""

ABANDONED_SECONDS = 3600
"""After which a file without a final name is taken for one whose process died just then."""

_threads: dict[str, int] = {}
"""The askers of this process, and the thread of each."""


class Asker:
    """This process, as one of those that ask; make it and use it in one thread."""

    def __init__(self, folder: Path, at_once: int):
        """``folder`` is that of all askers; ``at_once`` is how many answers may be under way.

        Raises:
            OSError: the file can't be written, such as for want of room.
        """
        self.name = uuid.uuid4().hex
        self._folder, self._path = folder, folder / self.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _bury(folder)
        # It gets the name by which others look for it when it is locked, not before: they would take it for a dead one's.
        partial = folder / f".{self.name}"
        self._file = os.open(partial, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _fill(self._file, min(MOST_ROOM, at_once * ROOM_OF_ONE))
            partial.rename(self._path)
        except BaseException:
            partial.unlink(missing_ok=True)
            os.close(self._file)
            raise
        _threads[self.name] = threading.get_ident()

    def waits_for(self, name: str) -> bool:
        """Whether another asker is alive and goes on by itself: one of this thread does not while this one waits."""
        if _threads.get(name) == threading.get_ident():
            return False
        return not _is_dead(self._folder / name)

    def give_room(self) -> None:
        """Leaves the bytes of the file to others."""
        os.ftruncate(self._file, 0)

    def leave(self) -> None:
        """Takes the file away."""
        _threads.pop(self.name, None)
        self._path.unlink(missing_ok=True)
        os.close(self._file)


def _fill(file: int, size: int) -> None:
    # With noise: some file systems give zeros no room.
    while size > 0:
        size -= os.write(file, os.urandom(min(size, 2**20)))
    os.fsync(file)  # some say only now that there is no room


def _is_dead(path: Path) -> bool:
    """Whether nobody holds the lock of an asker's file, or it is gone."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:  # such as too many open files: nothing that tells of a death
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(file)


def _bury(folder: Path) -> None:
    """Takes the files of the dead away; those without a final name may be of askers that just begin."""
    for path in folder.iterdir():
        with suppress(OSError):
            has_begun = not path.name.startswith(".") or time.time() - path.stat().st_mtime > ABANDONED_SECONDS
            if has_begun and _is_dead(path):
                path.unlink()
