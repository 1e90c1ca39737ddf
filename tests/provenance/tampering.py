"""Edits that leave no trace in sizes or times, as far as they can."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.params import load
from stages.provenance.hashes import Disk
from stages.provenance.lock import Lock
from stages.wiring import fingerprints, locks

Rows = list[dict[str, Any]]


@contextmanager
def unnoticed(path: Path) -> Iterator[None]:
    """Sets a file's time back to what it was."""
    before = path.stat()
    yield
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip(path: Path, place: int) -> None:
    """Changes one bit of one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    with unnoticed(path):
        path.write_bytes(content)


def edit(path: Path, change: Callable[[Rows], Any]) -> None:
    """Changes the rows of a table."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    changed = change(rows)
    with unnoticed(path):
        pq.write_table(
            pa.Table.from_pylist(rows if changed is None else changed, table.schema), path, compression="zstd"
        )


def rewrite_lock() -> None:
    """Gives every entry of all lock files the hash of what lies there, as someone would who hides an edit."""
    disk, lock = Disk(), Lock.read()
    others = {}
    for name in lock:
        for entry in (*lock[name].deps, *lock[name].outs):
            found = disk.md5(entry.path)
            if entry.md5 and found and found != entry.md5:
                others[entry.md5] = found
    replace(locks.files(), others)


def rewrite_fingerprints() -> None:
    """Has fingerprints.json and all lock files say what code and params here give, as someone would who hides an edit of those."""
    said = fingerprints.read()
    _, now = fingerprints.refresh(load())
    pairs = [zip(said[key].split(), now[key].split(), strict=True) for key in now]
    replace(locks.files(), {was: is_ for pair in pairs for was, is_ in pair if was != is_})


def replace(files: Iterable[Path], texts: Mapping[str, str]) -> None:
    """Replaces some texts by others in some files."""
    for file in files:
        content = file.read_text()
        for old, new in texts.items():
            content = content.replace(old, new)
        file.write_text(content)
