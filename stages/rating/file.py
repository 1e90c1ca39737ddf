"""The file of answers: JSON Lines, appended to, a row at a time and whole, so that whoever stops keeps what he entered."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from pathlib import Path

from stages import given
from stages.errors import GlossaError
from stages.explainers import rows, written
from stages.explainers.rows import Row

RATED, RATED_VERSION = "glossa/rated", 1

SCALE = {
    4: "right: it says what sets off the marks in nearly all texts, and no more than that",
    3: "mostly: it fits most of them, but is too wide, too narrow or beside the point in some",
    2: "partly: it fits some of them",
    1: "wrong: it fits none, or no better than it would fit any text",
}
"""Four steps, as the people had who rated for arXiv 2410.13928, so that there is no middle to retire to."""
RATINGS = range(min(SCALE), max(SCALE) + 1)


UNPRINTABLE = re.compile(r"[^ -~]")
"""What is looked at one by one: some of it would end the line for a reader that is no JSON parser."""


def read(path: Path, rated: bool) -> list[Row]:
    """Returns the rows of a file of ratings or of what people wrote; raises GlossaError as ``rows.read`` does."""
    if rated:
        return rows.read(path, RATED, RATED_VERSION, RATINGS)
    return rows.read(path, written.SCHEMA, written.VERSION)


def answered(path: Path, rated: bool, coder: str, sha256: str, coders: Collection[str]) -> list[Row]:
    """Returns the rows of one of the ``coders`` in a file that is to be appended to, none if there is no file yet.

    Raises:
        GlossaError: it is no such file, holds rows of another coder of the same name, lies in no folder, or can't be written.
    """
    if not path.parent.is_dir():
        raise GlossaError(f"expected a folder for {path}, but there is no {path.parent}; make it")
    if not path.is_file():
        given.target(path, "a file of answers")
    if not path.exists():
        return []
    found = read(path, rated)
    for row in found:
        if row.coder == coder and row.coder_sha256 != sha256:
            raise GlossaError(
                f"expected answers about the coder {coder} of sha256 {sha256[:12]} in {path}, found some about another of "
                f"that name, {row.coder_sha256[:12]}; choose another file"
            )
    return [row for row in found if rows.is_of(row, coder, sha256, coders)]


def append(path: Path, row: Row) -> None:
    """Adds a row in one write behind what is there, which it leaves as it was if the disk has no room."""
    own = (RATED, RATED_VERSION) if row.rating is not None else (written.SCHEMA, written.VERSION)
    fields = {name: value for name, value in row._asdict().items() if name in rows.SEEN}
    fields |= {} if row.rating is None else {"rating": row.rating}
    text = json.dumps({"schema": own[0], "version": own[1], **fields}, ensure_ascii=False)
    line = UNPRINTABLE.sub(_escaped, text).encode() + b"\n"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":  # somebody's editor left the last line open
            line = b"\n" + line
        try:
            if os.write(file, line) < len(line):
                raise OSError(28, os.strerror(28), str(path))
            os.fsync(file)
        except OSError:
            os.ftruncate(file, size)
            raise
    finally:
        os.close(file)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
