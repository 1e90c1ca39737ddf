"""The journal's file: its tables, how it is opened, and what to say when it can't be used."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
import zlib
from pathlib import Path

from stages.errors import GlossaError

VERSION = 1
BUSY_SECONDS = 60.0
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
"""What SQLite says of a full disk, of a quota, and of a full disk when it makes its index."""

MAX_BODY = 64 * 2**20
"""Bytes of a stored body at most; more is no answer of ours."""

TABLES = """
CREATE TABLE response (
    key TEXT PRIMARY KEY,       -- canonical.key
    endpoint TEXT NOT NULL,     -- as params.yaml names it
    path TEXT NOT NULL,
    sample INTEGER NOT NULL,
    status INTEGER NOT NULL,    -- of HTTP
    source TEXT NOT NULL,       -- call, or what it was imported from
    created REAL NOT NULL,
    request BLOB NOT NULL,      -- canonical JSON, zlib
    response BLOB NOT NULL      -- as received, zlib
);
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    started REAL NOT NULL,
    ended REAL,                 -- null: under way, or its process was killed
    status INTEGER,
    error TEXT,
    tokens INTEGER NOT NULL,    -- while it is under way or if nobody knows whether it was billed, the most it can be
    dollars REAL NOT NULL
);
CREATE TABLE ledger (           -- sums over attempt
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    calls INTEGER NOT NULL DEFAULT 0,       -- those that were or may have been billed
    tokens INTEGER NOT NULL DEFAULT 0,
    dollars REAL NOT NULL DEFAULT 0,
    answers INTEGER NOT NULL DEFAULT 0,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,      -- attempts that brought no answer
    PRIMARY KEY (endpoint, model)
);
CREATE TABLE probe (key TEXT PRIMARY KEY, created REAL NOT NULL, result TEXT NOT NULL);
"""
CLAIMS = """
CREATE TABLE claim (
    key TEXT PRIMARY KEY,       -- of a question that is being asked
    asker TEXT NOT NULL,        -- asker.Asker
    process INTEGER NOT NULL    -- its number, for people
) WITHOUT ROWID
"""
"""Of the same version, as journals without it, and versions of Glossa that do not know it, do with each other."""


def open_at(path: Path) -> sqlite3.Connection:
    """Opens the file, and makes it if need be.

    Raises:
        GlossaError: it can't be opened, or another version of Glossa wrote it; at once, unless another process holds it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Prompts and answers are nobody else's business; SQLite gives its two other files the same rights.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, error) from None
    try:
        _prepare(db, path)
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.Error):
            raise unusable(path, error) from None
        raise
    return db


def unusable(path: Path, error: Exception) -> GlossaError:
    """The error that says why the journal can't be used."""
    if is_full(error):
        return GlossaError(f"the disk has no room left for the journal of answers {path}; make room and run it again")
    return GlossaError(
        f"expected a journal of answers in {path} that can be read and written, but it can't be ({error}); "
        "free the disk, mend the file, or set GLOSSA_HOME to a folder on a local disk"
    )


def is_full(error: Exception) -> bool:
    """Whether it is for want of room on the disk that something could not be written."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "sqlite_errorcode", None) in FULL


def damaged(path: Path, key: object, what: str) -> GlossaError:
    """The error that says that an answer is not as it was written."""
    mark = key if isinstance(key, str) and key.isalnum() else "?"
    return GlossaError(
        f"expected an answer under {mark} in the journal {path}, but {what}; restore a copy of the file, or have it asked again "
        f"by sqlite3 {path} \"DELETE FROM response WHERE key = '{mark}'\""
    )


def pack(body: bytes) -> bytes:
    """Returns what is stored for a body."""
    return zlib.compress(body, 1)


def unpack(packed: object) -> bytes | None:
    """Returns the body that is stored, None if it is damaged."""
    if not isinstance(packed, bytes):
        return None
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(packed, MAX_BODY)
    except zlib.error:
        return None
    return body if inflater.eof else None


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    _use_write_ahead_log(db)
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("BEGIN IMMEDIATE")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in TABLES.strip().split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
    elif version != VERSION:
        raise GlossaError(
            f"expected version {VERSION} of the journal {path}, found {version}; install the Glossa that wrote it"
        )
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'claim'").fetchone():
        db.execute(CLAIMS)
    db.execute("COMMIT")


def _use_write_ahead_log(db: sqlite3.Connection) -> None:
    """Changes the mode, which SQLite does not wait for when another process is doing the same."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in BUSY or time.monotonic() > until:
                raise
            time.sleep(0.05)
