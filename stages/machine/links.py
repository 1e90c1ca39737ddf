"""The bytes of a file in a second place without writing them again, where the file system can."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import Literal

FICLONE = 0x40049409
"""Of Linux' ``ioctl``: the second file takes over the blocks of the first, and either is copied when it is written to."""

TOLD = (errno.ENOENT, errno.EEXIST, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
"""Errors that a copy would meet as well."""


Link = Literal["reflink", "hard link"]


def link(source: Path, target: Path) -> Link | None:
    """Makes ``target`` the same bytes as ``source``: by reflink or, where there is none, by hard link. Returns how, None if neither can be.

    Who writes into a file that is hard-linked changes both.

    Raises:
        OSError: a copy would fail as well: there is no ``source``, there is a ``target``, or the disk is full.
    """
    if _reflink(source, target):
        return "reflink"
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno in TOLD:
            raise
        return None  # another file system, one without links, or too many of them
    return "hard link"


def _reflink(source: Path, target: Path) -> bool:
    with source.open("rb") as old, target.open("xb") as new:
        try:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
        except OSError as error:
            problem = error
        else:
            return True
    target.unlink()
    if problem.errno in TOLD:
        raise problem
    return False
