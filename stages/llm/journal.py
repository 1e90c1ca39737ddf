"""The journal: every answer ever received, every attempt ever made, and what they cost. Nothing in it expires.

One SQLite file, outside of what DVC manages, that several processes may write at once. An attempt is written down before
it is sent and an answer in the moment it arrives, each in a transaction of its own, so a killed process loses at most
answers that it never read. It has to lie on a local disk: SQLite's write-ahead log does not work on a network file system.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from stages.errors import GlossaError
from stages.llm.call import Call, Usage
from stages.machine import runtime

VERSION = 1
BUSY_SECONDS = 60.0
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


class Cost(NamedTuple):
    """What an attempt costs, or the most it can cost."""

    tokens: int
    dollars: float


class Attempt(NamedTuple):
    """One attempt that is under way, and the most it can cost."""

    id: int
    endpoint: str
    model: str
    most: Cost


class Limits(NamedTuple):
    """The most that one endpoint may cost; None for no limit."""

    calls: int | None = None
    tokens: int | None = None
    dollars: float | None = None


class Paid(NamedTuple):
    """An answer that was paid for outside of this program."""

    call: Call
    model: str
    usage: Usage
    cost: Cost


class Journal:
    """An open journal; use it in the thread that opened it."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self._db = _open(path)
        except (sqlite3.Error, OSError) as error:
            raise _unusable(path, error) from None

    @classmethod
    def at_home(cls) -> Journal:
        """Opens, and creates if need be, ``journal.sqlite`` in the folder of state outside DVC."""
        return cls(runtime.home() / "journal.sqlite")

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, key: str) -> Call | None:
        """Returns the call that was answered under ``key``, if any."""
        with self._errors():
            row = self._db.execute(
                "SELECT key, endpoint, path, sample, status, request, response FROM response WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        request, response = (_unpack(packed, self.path) for packed in row[5:])
        return Call(row[0], row[1], row[2], row[3], row[4], request, response)

    def __getitem__(self, key: str) -> Call:
        if (call := self.get(key)) is None:
            raise KeyError(key)
        return call

    def __contains__(self, key: str) -> bool:
        with self._errors():
            return self._db.execute("SELECT 1 FROM response WHERE key = ?", (key,)).fetchone() is not None

    def begin(self, key: str, endpoint: str, model: str, most: Cost, limits: Limits) -> Attempt | None:
        """Writes down that an attempt is about to be sent, and takes the most it can cost out of the budget.

        Returns None if that is more than ``limits`` leave; then nothing is written.
        """
        with self._writing():
            if any(limit is not None for limit in limits):
                calls, tokens, dollars = self._spent(endpoint)
                after = (calls + 1, tokens + most.tokens, dollars + most.dollars)
                if any(limit is not None and value > limit for value, limit in zip(after, limits, strict=True)):
                    return None
            row = self._db.execute(
                "INSERT INTO attempt (key, endpoint, model, started, tokens, dollars) VALUES (?, ?, ?, ?, ?, ?)",
                (key, endpoint, model, time.time(), *most),
            )
            self._book(endpoint, model, attempts=1, calls=1, tokens=most.tokens, dollars=most.dollars)
            return Attempt(row.lastrowid or 0, endpoint, model, most)

    def finish(self, attempt: Attempt, call: Call, usage: Usage, cost: Cost | None, keep: bool = True) -> None:
        """Ends an attempt with the answer it brought; ``cost`` None leaves the most it can cost as spent.

        With ``keep`` the answer is there for good.
        """
        packed = (_pack(call.request), _pack(call.response)) if keep else None
        with self._writing():
            actual = cost or attempt.most
            self._db.execute(
                "UPDATE attempt SET ended = ?, status = ?, tokens = ?, dollars = ? WHERE id = ?",
                (time.time(), call.status, *actual, attempt.id),
            )
            self._book(
                attempt.endpoint,
                attempt.model,
                tokens=actual.tokens - attempt.most.tokens,
                dollars=actual.dollars - attempt.most.dollars,
                answers=1,
                prompt_tokens=usage.prompt or 0,
                cached_tokens=usage.cached or 0,
                completion_tokens=usage.completion or 0,
            )
            if packed:
                self._insert(call, "call", *packed)

    def fail(self, attempt: Attempt, status: int | None, error: str, billed: bool) -> None:
        """Ends an attempt that brought no answer; one that may have been ``billed`` stays spent."""
        with self._writing():
            left = attempt.most if billed else Cost(0, 0.0)
            self._db.execute(
                "UPDATE attempt SET ended = ?, status = ?, error = ?, tokens = ?, dollars = ? WHERE id = ?",
                (time.time(), status, error, *left, attempt.id),
            )
            if billed:
                self._book(attempt.endpoint, attempt.model, failed=1)
            else:
                tokens, dollars = attempt.most
                self._book(attempt.endpoint, attempt.model, failed=1, calls=-1, tokens=-tokens, dollars=-dollars)

    def add(self, calls: list[Call], source: str) -> int:
        """Adds answers that came another way than by a call; returns how many were not known yet."""
        packed = [(call, _pack(call.request), _pack(call.response)) for call in calls]
        with self._writing():
            return sum(self._insert(call, source, request, response) for call, request, response in packed)

    def add_paid(self, answers: list[Paid], source: str) -> int:
        """Adds answers that were paid for elsewhere, such as in a batch, and counts as spent those that were not known yet.

        Returns how many these are.
        """
        packed = [(one, _pack(one.call.request), _pack(one.call.response)) for one in answers]
        with self._writing():
            new = [one for one, request, response in packed if self._insert(one.call, source, request, response)]
            for one in new:
                self._db.execute(
                    "INSERT INTO attempt (key, endpoint, model, started, ended, status, tokens, dollars) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (one.call.key, one.call.endpoint, one.model, time.time(), time.time(), one.call.status, *one.cost),
                )
                self._book(
                    one.call.endpoint,
                    one.model,
                    attempts=1,
                    calls=1,
                    tokens=one.cost.tokens,
                    dollars=one.cost.dollars,
                    answers=1,
                    prompt_tokens=one.usage.prompt or 0,
                    cached_tokens=one.usage.cached or 0,
                    completion_tokens=one.usage.completion or 0,
                )
            return len(new)

    def spent(self, endpoint: str) -> tuple[int, int, float]:
        """Returns the calls, tokens and dollars that an endpoint has cost or may still cost."""
        with self._errors():
            return self._spent(endpoint)

    def probed(self, key: str) -> dict[str, Any] | None:
        """Returns what was found out about a server under ``key``, if anything."""
        with self._errors():
            row = self._db.execute("SELECT result FROM probe WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def keep_probe(self, key: str, result: dict[str, Any]) -> None:
        """Writes down what was found out about a server."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO probe VALUES (?, ?, ?)", (key, time.time(), json.dumps(result)))

    def ledger(self) -> Iterator[dict[str, Any]]:
        """Yields the sums of every endpoint and model, and how many attempts never ended."""
        with self._errors():
            rows = self._db.execute("SELECT * FROM ledger ORDER BY endpoint, model")
            names = [column[0] for column in rows.description]
            for row in rows.fetchall():
                facts = dict(zip(names, row, strict=True))
                yield {**facts, "unfinished": facts["attempts"] - facts["answers"] - facts["failed"]}

    def __len__(self) -> int:
        """The number of answers."""
        with self._errors():  # nothing is ever removed, so the last row's number is their count
            return self._db.execute("SELECT coalesce(max(rowid), 0) FROM response").fetchone()[0]

    def _spent(self, endpoint: str) -> tuple[int, int, float]:
        return self._db.execute(
            "SELECT total(calls), total(tokens), total(dollars) FROM ledger WHERE endpoint = ?", (endpoint,)
        ).fetchone()

    def _book(self, endpoint: str, model: str, **change: float) -> None:
        names = ", ".join(change)
        sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in change)
        self._db.execute(
            f"INSERT INTO ledger (endpoint, model, {names}) VALUES (?, ?{', ?' * len(change)}) "
            f"ON CONFLICT DO UPDATE SET {sums}",
            (endpoint, model, *change.values()),
        )

    def _insert(self, call: Call, source: str, request: bytes, response: bytes) -> int:
        return self._db.execute(
            "INSERT INTO response VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            (*call[:5], source, time.time(), request, response),
        ).rowcount

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from None


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Prompts and answers are nobody else's business; SQLite gives its two other files the same rights.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    _use_write_ahead_log(db)
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("BEGIN IMMEDIATE")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in TABLES.strip().split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
    elif version != VERSION:
        db.close()
        raise GlossaError(
            f"expected version {VERSION} of the journal {path}, found {version}; install the Glossa that wrote it"
        )
    db.execute("COMMIT")
    return db


def _use_write_ahead_log(db: sqlite3.Connection) -> None:
    """Changes the mode, which SQLite does not wait for when another process is doing the same."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _unusable(path: Path, error: Exception) -> GlossaError:
    return GlossaError(
        f"expected a journal of answers in {path} that can be read and written, but it can't be ({error}); "
        "free the disk, mend the file, or set GLOSSA_HOME to a folder on a local disk"
    )


def _pack(body: bytes) -> bytes:
    return zlib.compress(body, 1)


def _unpack(packed: bytes, path: Path) -> bytes:
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(packed, MAX_BODY)
    except zlib.error:
        body = b""
    if not inflater.eof:
        raise GlossaError(
            f"expected a whole body in the journal {path}, but one is damaged; restore a copy of the file"
        )
    return body
