"""The journal: every answer ever received, every attempt ever made, and what they cost. Nothing in it expires.

One SQLite file, outside of what DVC manages, that several processes may write at once. An attempt is written down before
it is sent and an answer in the moment it arrives, each in a transaction of its own, so a killed process loses at most
answers that it never read. With its first attempt a process claims the question: no other asks it, unless that process has
died, or given up, before there is an answer. It has to lie on a local disk: SQLite's write-ahead log does not work on a network file system.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from stages.errors import GlossaError
from stages.llm.call import Call, Usage
from stages.llm.journal import database
from stages.llm.journal.asker import Asker
from stages.machine import runtime

Result = TypeVar("Result")


class TakenError(Exception):
    """Another process asks the same question, or has just been answered."""

    def __init__(self, process: int | None):
        super().__init__(process)
        self.process = process
        """Its number; None if the answer is there."""


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
        self._asker: Asker | None = None
        self._claims: set[str] = set()
        self._full: GlossaError | None = None
        self._db = database.open_at(path)

    @classmethod
    def at_home(cls) -> Journal:
        """Opens, and creates if need be, ``journal.sqlite`` in the folder of state outside DVC."""
        return cls(runtime.home() / "journal.sqlite")

    def close(self) -> None:
        """Closes the file, and gives up all claims."""
        for key in list(self._claims):
            self.release(key)
        if self._asker is not None:
            self._asker.leave()
            self._asker = None
        self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, key: str) -> Call | None:
        """Returns the call that was answered under ``key``, if any; raises GlossaError if it is damaged."""
        with self._errors():
            row = self._db.execute(
                "SELECT key, endpoint, path, sample, status, request, response FROM response WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        if [type(value) for value in row[:5]] != [str, str, str, int, int]:
            raise database.damaged(self.path, key, "what stands beside it is damaged")
        request, response = map(database.unpack, row[5:])
        if request is None or response is None:
            raise database.damaged(self.path, key, "its body is damaged")
        return Call(row[0], row[1], row[2], row[3], row[4], request, response)

    def __getitem__(self, key: str) -> Call:
        if (call := self.get(key)) is None:
            raise KeyError(key)
        return call

    def __contains__(self, key: str) -> bool:
        with self._errors():
            return self._db.execute("SELECT 1 FROM response WHERE key = ?", (key,)).fetchone() is not None

    def enter(self, at_once: int = 1) -> Asker:
        """Makes this process known to others that ask, once, and holds room for ``at_once`` answers on the disk."""
        if self._asker is None:
            try:
                self._asker = Asker(self.path.with_name(f"{self.path.name}-askers"), at_once)
            except OSError as error:
                raise database.unusable(self.path, error) from None
        return self._asker

    def claim(self, key: str) -> None:
        """Claims a question that is to be asked.

        Raises:
            TakenError: it has an answer, or another process that is alive has claimed it.
        """
        asker = self.enter()
        with self._writing():
            self._claim(key, asker)
        self._claims.add(key)

    def holder(self, key: str) -> int | None:
        """Returns the number of another process that asks the question, None if there is none alive."""
        with self._errors():
            row = self._db.execute("SELECT asker, process FROM claim WHERE key = ?", (key,)).fetchone()
        return row[1] if row and self.enter().waits_for(row[0]) else None

    def release(self, key: str) -> None:
        """Gives up a claim; one that can't be given up, as on a full disk, ends with this process."""
        if key in self._claims and self._asker is not None:
            self._claims.discard(key)
            with suppress(GlossaError), self._writing():
                self._db.execute("DELETE FROM claim WHERE key = ? AND asker = ?", (key, self._asker.name))

    def begin(
        self, key: str, endpoint: str, model: str, most: Cost, limits: Limits, claim: bool = False
    ) -> Attempt | None:
        """Writes down that an attempt is about to be sent, and takes the most it can cost out of the budget.

        Returns None if that is more than ``limits`` leave; then nothing is written. With ``claim`` the question is claimed, until
        there is an answer or the claim is released; raises TakenError as ``claim`` does.
        """
        if self._full is not None:
            raise self._full
        asker = self.enter() if claim else None
        with self._writing():
            if any(limit is not None for limit in limits):
                calls, tokens, dollars = self._spent(endpoint)
                after = (calls + 1, tokens + most.tokens, dollars + most.dollars)
                if any(limit is not None and value > limit for value, limit in zip(after, limits, strict=True)):
                    return None
            if asker is not None:
                self._claim(key, asker)
            row = self._db.execute(
                "INSERT INTO attempt (key, endpoint, model, started, tokens, dollars) VALUES (?, ?, ?, ?, ?, ?)",
                (key, endpoint, model, time.time(), *most),
            )
            self._book(endpoint, model, attempts=1, calls=1, tokens=most.tokens, dollars=most.dollars)
        if asker is not None:
            self._claims.add(key)
        return Attempt(row.lastrowid or 0, endpoint, model, most)

    def finish(self, attempt: Attempt, call: Call, usage: Usage, cost: Cost | None, keep: bool = True) -> None:
        """Ends an attempt with the answer it brought; ``cost`` None leaves the most it can cost as spent.

        With ``keep`` the answer is there for good.
        """
        packed = (database.pack(call.request), database.pack(call.response)) if keep else None
        self._surely(lambda: self._finish(attempt, call, usage, cost, packed))

    def _finish(
        self, attempt: Attempt, call: Call, usage: Usage, cost: Cost | None, packed: tuple[bytes, bytes] | None
    ) -> None:
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
        self._surely(lambda: self._fail(attempt, status, error, billed))

    def _fail(self, attempt: Attempt, status: int | None, error: str, billed: bool) -> None:
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
        packed = [(call, database.pack(call.request), database.pack(call.response)) for call in calls]

        def change() -> int:
            with self._writing():
                return sum(self._insert(call, source, request, response) for call, request, response in packed)

        return self._surely(change)

    def add_paid(self, answers: list[Paid], source: str) -> int:
        """Adds answers that were paid for elsewhere, such as in a batch, and counts as spent those that were not known yet.

        Returns how many these are.
        """
        packed = [(one, database.pack(one.call.request), database.pack(one.call.response)) for one in answers]
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
        """Returns what was found out about a server under ``key``; None if nothing was, or the note of it is damaged."""
        with self._errors():
            row = self._db.execute("SELECT result FROM probe WHERE key = ?", (key,)).fetchone()
        try:
            found = None if row is None else json.loads(row[0])
        except (ValueError, TypeError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

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
                if not all(
                    isinstance(value, str if name in ("endpoint", "model") else int | float)
                    for name, value in facts.items()
                ):
                    raise GlossaError(
                        f"expected sums of what was asked in the table ledger of the journal {self.path}, but a row of it is damaged; "
                        "restore a copy of the file"
                    )
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

    def _claim(self, key: str, asker: Asker) -> None:
        if self._db.execute("SELECT 1 FROM response WHERE key = ?", (key,)).fetchone():
            raise TakenError(None)
        held = self._db.execute("SELECT asker, process FROM claim WHERE key = ?", (key,)).fetchone()
        if held and held[0] != asker.name and asker.waits_for(held[0]):
            raise TakenError(held[1])
        self._db.execute("INSERT OR REPLACE INTO claim VALUES (?, ?, ?)", (key, asker.name, os.getpid()))

    def _insert(self, call: Call, source: str, request: bytes, response: bytes) -> int:
        self._db.execute("DELETE FROM claim WHERE key = ?", (call.key,))
        self._claims.discard(call.key)
        return self._db.execute(
            "INSERT INTO response VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            (*call[:5], source, time.time(), request, response),
        ).rowcount

    def _surely(self, change: Callable[[], Result]) -> Result:
        """Makes a change that an answer hangs on: on a full disk in the room that was held free for it, and no other is asked for."""
        try:
            return change()
        except GlossaError as error:
            if (
                self._asker is None
                or not isinstance(error.__cause__, sqlite3.Error)
                or not database.is_full(error.__cause__)
            ):
                raise
            self._full = error
            self._asker.give_room()
            return change()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise database.unusable(self.path, error) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise database.unusable(self.path, error) from None
