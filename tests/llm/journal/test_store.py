from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from stages.errors import GlossaError
from stages.llm.call import Call, Usage
from stages.llm.journal import database
from stages.llm.journal.store import Cost, Journal, Limits, TakenError
from stages.machine import runtime

NO_LIMIT = Limits()
Result = TypeVar("Result")


def call(number: int, response: bytes = b'{"choices": []}') -> Call:
    return Call(f"{number:064x}", "lab", "/chat/completions", 0, 200, b'{"n":%d}' % number, response)


def line(journal: Journal) -> dict[str, object]:
    (found,) = journal.ledger()
    return found


def test_an_answer_comes_back_byte_for_byte() -> None:
    response = bytes(range(256)) * 100
    with Journal.at_home() as journal:
        assert journal.get(call(1).key) is None
        assert call(1).key not in journal
        attempt = journal.begin(call(1).key, "lab", "m", Cost(9, 0.5), NO_LIMIT)
        journal.finish(attempt, call(1, response), Usage(), None)
    with Journal.at_home() as journal:
        assert journal[call(1).key] == call(1, response)
        assert call(1).key in journal
        assert len(journal) == 1
        with pytest.raises(KeyError):
            journal["other"]


def test_the_ledger_settles_what_was_reserved() -> None:
    with Journal.at_home() as journal:
        started = [journal.begin(call(n).key, "lab", "m", Cost(100, 1.0), NO_LIMIT) for n in range(5)]
        assert journal.spent("lab") == (5, 500, 5.0)
        journal.finish(started[0], call(0), Usage(30, 10, 20), Cost(40, 0.25))  # known
        journal.finish(started[1], call(1), Usage(), None)  # answered, and nobody said what it used
        journal.fail(started[2], 429, "busy", billed=False)
        journal.fail(started[3], 500, "oh", billed=True)  # nobody knows
        # The fifth never ends, as when its process was killed: it stays spent.
        assert journal.spent("lab") == (4, 40 + 100 + 100 + 100, 0.25 + 3)
        assert journal.spent("other") == (0, 0, 0)
        assert line(journal) == {
            "endpoint": "lab",
            "model": "m",
            "attempts": 5,
            "calls": 4,
            "tokens": 340,
            "dollars": 3.25,
            "answers": 2,
            "prompt_tokens": 30,
            "cached_tokens": 20,
            "completion_tokens": 10,
            "failed": 2,
            "unfinished": 1,
        }
        sums = "SELECT count(*), sum(tokens), sum(dollars) FROM attempt WHERE tokens > 0"
        assert journal._db.execute(sums).fetchone() == (4, 340, 3.25)


@pytest.mark.parametrize(
    ("limits", "fit"),
    [(Limits(calls=2), 2), (Limits(tokens=350), 3), (Limits(dollars=1.0), 1), (Limits(5, 250, 9.0), 2), (NO_LIMIT, 6)],
)
def test_no_more_is_reserved_than_the_limits_leave(limits: Limits, fit: int) -> None:
    with Journal.at_home() as journal:
        started = [journal.begin("k", "lab", "m", Cost(100, 1.0), limits) for _ in range(6)]
        assert [attempt is not None for attempt in started] == [True] * fit + [False] * (6 - fit)
        assert journal.spent("lab")[0] == fit
        assert journal.begin("k", "another", "m", Cost(100, 1.0), limits)


def test_what_is_added_from_elsewhere_replaces_nothing() -> None:
    with Journal.at_home() as journal:
        assert journal.add([call(1, b"one"), call(2, b"two")], "transcript") == 2
        assert journal.add([call(2, b"other"), call(3, b"three")], "batch") == 1
        assert [journal[call(n).key].response for n in (1, 2, 3)] == [b"one", b"two", b"three"]
        assert len(journal) == 3
        assert list(journal.ledger()) == []


def test_a_probe_is_remembered() -> None:
    with Journal.at_home() as journal:
        assert journal.probed("k") is None
        journal.keep_probe("k", {"schema": True})
        journal.keep_probe("k", {"schema": False})
        assert journal.probed("k") == {"schema": False}


def test_an_error_in_the_middle_of_a_change_changes_nothing() -> None:
    with Journal.at_home() as journal:
        attempt = journal.begin("k", "lab", "m", Cost(1, 1.0), NO_LIMIT)
        with pytest.raises(GlossaError, match="expected a journal of answers"):
            journal.finish(attempt, call(1)._replace(endpoint=None), Usage(), Cost(0, 0.0))  # type: ignore[arg-type]
        assert journal.spent("lab") == (1, 1, 1.0)
        assert len(journal) == 0


def write(first: int) -> None:
    with Journal.at_home() as journal:
        for number in range(first, first + 50):
            attempt = journal.begin(call(number).key, "lab", "m", Cost(7, 0.5), Limits(calls=150))
            if attempt is not None:
                journal.finish(attempt, call(number), Usage(1, 2), Cost(3, 0.25))


def test_several_processes_write_at_once_and_the_budget_holds() -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write, args=(40 * n,)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    with Journal.at_home() as journal:
        assert journal.spent("lab") == (150, 450, 37.5)
        assert len(journal) <= 150  # they overlap
        assert line(journal)["answers"] == 150


def test_nobody_else_may_read_it() -> None:
    with Journal.at_home() as journal:
        journal.keep_probe("k", {})
        files = list(journal.path.parent.iterdir())
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_file_that_is_no_journal_is_named() -> None:
    path = runtime.home() / "journal.sqlite"
    path.parent.mkdir()
    path.write_text("not a database, but long enough to be looked at" * 100)
    with pytest.raises(GlossaError, match=r"expected a journal of answers in .*journal\.sqlite.*not a database"):
        Journal.at_home()


def test_a_journal_of_another_version_is_refused() -> None:
    with Journal.at_home() as journal:
        path = journal.path
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()
    with pytest.raises(GlossaError, match=r"expected version 1 of the journal .* found 7"):
        Journal.at_home()


def test_a_damaged_body_is_named_and_not_returned() -> None:
    with Journal.at_home() as journal:
        journal.add([call(1), call(2)], "x")
        journal._db.execute("UPDATE response SET response = substr(response, 1, 5) WHERE key = ?", (call(1).key,))
        journal._db.execute("UPDATE response SET request = x'00' WHERE key = ?", (call(2).key,))
        for number in (1, 2):
            with pytest.raises(GlossaError, match=r"in the journal .* but its body is damaged; restore"):
                journal.get(call(number).key)


def test_it_lies_in_the_home_of_the_main_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GLOSSA_HOME")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    monkeypatch.chdir(tmp_path)
    with Journal.at_home() as journal:
        assert journal.path.resolve() == tmp_path / "main" / ".glossa" / "journal.sqlite"


def elsewhere(work: Callable[[Journal], Result]) -> Result:
    """What ``work`` makes of a journal that another thread has opened."""

    def run() -> Result:
        with Journal.at_home() as journal:
            return work(journal)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def begins(journal: Journal) -> bool:
    """Whether the question of the first call may be asked."""
    try:
        return journal.begin(call(1).key, "lab", "m", Cost(1, 0.0), NO_LIMIT, claim=True) is not None
    except TakenError:
        return False


def test_a_question_is_asked_by_one_at_a_time_until_it_is_answered_or_given_up() -> None:
    key = call(1).key
    with Journal.at_home() as journal:
        attempt = journal.begin(key, "lab", "m", Cost(1, 0.0), NO_LIMIT, claim=True)
        assert attempt is not None
        assert begins(journal)  # again, after a failure
        assert not elsewhere(begins)
        assert elsewhere(lambda other: other.holder(key)) == os.getpid()
        assert journal.holder(key) is None
        assert elsewhere(lambda other: other.begin("k", "lab", "m", Cost(1, 0.0), NO_LIMIT, claim=True))
        journal.release(key)
        assert elsewhere(begins)  # and gives it up when it closes
        assert begins(journal)
        journal.finish(attempt, call(1), Usage(), None)
        assert elsewhere(lambda other: other.holder(key)) is None
        assert not elsewhere(begins), "an answered question was asked"
        with pytest.raises(TakenError):
            journal.claim(key)


def test_nothing_is_claimed_where_the_budget_is_spent() -> None:
    with Journal.at_home() as journal:
        assert journal.begin(call(1).key, "lab", "m", Cost(1, 0.0), Limits(calls=0), claim=True) is None
        assert elsewhere(begins)


def die_asking() -> None:
    journal = Journal.at_home()
    assert begins(journal)
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_claim_of_a_dead_process_is_taken_over_and_its_file_removed() -> None:
    process = multiprocessing.get_context("fork").Process(target=die_asking)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    folder = runtime.home() / "journal.sqlite-askers"
    assert len(list(folder.iterdir())) == 1
    with Journal.at_home() as journal:
        assert journal.holder(call(1).key) is None
        assert begins(journal)
        assert len(list(folder.iterdir())) == 1  # its own
    assert not list(folder.iterdir())


def test_one_of_the_same_thread_is_not_waited_for_as_it_would_never_go_on() -> None:
    with Journal.at_home() as first, Journal.at_home() as second:
        assert begins(first)
        assert second.holder(call(1).key) is None
        assert begins(second)


def test_a_journal_from_before_there_were_claims_goes_on_being_used() -> None:
    with Journal.at_home() as journal:
        journal.add([call(1)], "x")
        journal._db.execute("DROP TABLE claim")
    with Journal.at_home() as journal:
        assert journal[call(1).key] == call(1)
        journal.claim(call(2).key)


def test_a_journal_that_cannot_be_opened_says_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.sqlite").mkdir()
    (tmp_path / "file").touch()
    with sqlite3.connect(tmp_path / "other.sqlite") as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (x)")
    db.close()
    (tmp_path / "other.sqlite-wal").mkdir()
    began = time.monotonic()
    for path in ("folder.sqlite", "file/journal.sqlite", "other.sqlite"):
        with pytest.raises(GlossaError, match=r"expected a journal of answers in .* that can be read and written"):
            Journal(tmp_path / path)
    assert time.monotonic() - began < database.BUSY_SECONDS / 2


@pytest.mark.parametrize(
    "change",
    [
        "endpoint = x'05'",
        "status = 'good'",
        "sample = 0.5",
        "path = x'ff'",
        "request = 'text'",
        "response = 7",
        "response = x''",
        "endpoint = CAST(x'ff' AS TEXT)",
    ],
)
def test_a_damaged_row_is_one_sentence_with_what_to_do(change: str) -> None:
    with Journal.at_home() as journal:
        journal.add([call(1)], "x")
        journal._db.execute(f"UPDATE response SET {change}")
        with pytest.raises(GlossaError, match=r"(the|a) journal") as told:
            journal.get(call(1).key)
        if "CAST" not in change:
            statement = str(told.value).split('"')[1]
            journal._db.execute(statement)  # as the sentence says
            assert journal.get(call(1).key) is None


@pytest.mark.parametrize("result", ["'{'", "'[1]'", "7", "x'80'", "CAST(x'ff' AS BLOB)"])
def test_a_damaged_probe_is_forgotten(result: str) -> None:
    with Journal.at_home() as journal:
        journal.keep_probe("k", {})
        journal._db.execute(f"UPDATE probe SET result = {result}")
        assert journal.probed("k") is None


def test_a_damaged_sum_is_one_sentence() -> None:
    with Journal.at_home() as journal:
        journal.begin("k", "lab", "m", Cost(1, 1.0), NO_LIMIT)
        journal._db.execute("UPDATE ledger SET answers = 'many'")
        with pytest.raises(GlossaError, match="a row of it is damaged"):
            list(journal.ledger())
