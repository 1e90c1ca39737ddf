"""A journal on a disk that gets full while answers are under way."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.errors import GlossaError
from stages.llm.call import Usage
from stages.llm.journal import asker
from stages.llm.journal.store import Cost, Journal, Limits
from tests.clones import ROOT
from tests.llm.asking import ask
from tests.llm.conftest import Serve
from tests.llm.journal.test_store import call
from tests.llm.scripted_server import Action, Asked, good

N, CONCURRENCY = 60, 16
MOUNTED = "mount -t tmpfs -o size=12m none home && {} && cp -r home/journal.sqlite* kept"
"""A disk of 12 MB, for one command in a namespace of its own; what it holds is copied from there."""


def in_namespace(command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOSSA_HOME": "home"}
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


@pytest.mark.usefixtures("unprobed")
def test_no_answer_under_way_is_lost_and_none_is_asked_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("unshare") or in_namespace("mount -t tmpfs none /mnt").returncode:
        pytest.skip("needs a namespace of its own to mount a small disk in")

    def script(asked: Asked) -> Action:
        return good(asked)._replace(delay=0.4)

    server = serve(script, concurrency=CONCURRENCY)
    Path("home").mkdir()
    Path("kept").mkdir()
    done = in_namespace(MOUNTED.format(f"{sys.executable} -m tests.llm.filling_run {N}"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "the disk has no room left for the journal of answers home/journal.sqlite; make room" in done.stdout
    asked = len(server.calls)
    assert asked < N
    monkeypatch.setenv("GLOSSA_HOME", "kept")
    with Journal.at_home() as journal:
        (told,) = journal.ledger()
        assert told["unfinished"] == told["failed"] == 0
    ask(N)
    again = [n for n in server.counts.values() if n > 1]
    assert again == [2], "an answer was asked for again"  # but for the story of the probe
    assert len(server.calls) > asked


def test_where_there_is_no_room_for_what_would_be_under_way_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Journal.at_home() as journal:
        monkeypatch.setattr(asker, "_fill", full)
        with pytest.raises(GlossaError, match=r"the disk has no room left for the journal"):
            journal.begin("k", "lab", "m", Cost(1, 0.0), Limits(), claim=True)
        assert journal.spent("lab") == (0, 0, 0.0)
        assert not list((journal.path.parent / "journal.sqlite-askers").iterdir())


def test_after_a_full_disk_answers_come_in_and_no_question_goes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal.at_home() as journal:
        attempts = [journal.begin(call(n).key, "lab", "m", Cost(1, 0.0), Limits(), claim=True) for n in (1, 2)]
        (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
        journal._db.execute(f"PRAGMA max_page_count = {pages}")
        monkeypatch.setattr(journal.enter(), "give_room", lambda: journal._db.execute("PRAGMA max_page_count = 10000"))
        large = call(1, os.urandom(2**16))
        for attempt, answer in zip(attempts, (large, call(2)), strict=True):
            assert attempt is not None
            journal.finish(attempt, answer, Usage(), None)
        assert journal[large.key] == large
        assert journal[call(2).key] == call(2)
        with pytest.raises(GlossaError, match="no room left"):
            journal.begin("k", "lab", "m", Cost(1, 0.0), Limits())
