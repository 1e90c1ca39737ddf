"""Several processes with one journal: none asks what another has asked or is asking, unless that one was killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.clones import ROOT
from tests.llm.racing_run import Came
from tests.llm.test_crashes import server, told

N, CONCURRENCY = 300, 16


def start(folder: Path, url: str, *command: str) -> subprocess.Popen[str]:
    """Starts a module in a folder with a journal of its own; Ctrl-C reaches it even where the tests run in the background."""
    runtime = {"endpoints": {"lab": {"base_url": url, "concurrency": CONCURRENCY}}}
    (folder / "runtime.yaml").write_text(json.dumps(runtime))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOSSA_HOME": str(folder / "home")}
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def answers(journal: Path) -> int:
    """How many answers a journal has, perhaps while it is written."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM response").fetchone()[0]
    return 0


def race(folder: Path, url: str, *options: str) -> Came:
    """Runs ``racing_run`` in a folder with a journal of its own."""
    process = start(folder, url, "tests.llm.racing_run", str(N), *options)
    said, complained = process.communicate()
    assert process.returncode == 0, complained[-2000:]
    return Came(**json.loads(said.splitlines()[-1]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_that_ask_the_same_pay_once_each_and_write_the_same(tmp_path: Path) -> None:
    with server(latency=0.02, spread=0.03, malformed=0.1) as url:
        came = race(tmp_path, url, "--processes", "3")
    assert came.questions > N  # some are asked again because their answer can't be read
    assert came == Came(came.questions, came.questions, twice=0, cut=0, probes=3, outputs=1)
    assert not list((tmp_path / "home" / "journal.sqlite-askers").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_asked_to_end_keeps_what_it_has_under_way(tmp_path: Path, number: signal.Signals) -> None:
    with server(latency=0.5) as url:
        process = start(tmp_path, url, "tests.llm.crashing_run", "out", "100")
        journal = tmp_path / "home" / "journal.sqlite"
        while process.poll() is None and not (journal.is_file() and answers(journal) > 20):
            time.sleep(0.05)
        process.send_signal(number)
        said = process.communicate()[1]
        assert process.returncode == {signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGINT: -signal.SIGINT}[number], said
        sent, kept = told(url), answers(journal)
        assert 20 < kept < 100
        assert sent.total() == kept + 3  # the probe's
        assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_killed_process_had_claimed_is_asked_by_another_and_nothing_else_is_asked_twice(tmp_path: Path) -> None:
    kills = 3
    with server(latency=0.05, spread=0.05, malformed=0.1) as url:
        came = race(tmp_path, url, "--kills", str(kills))
    assert came.twice == 0
    assert came.calls - came.questions <= came.cut <= kills * CONCURRENCY
    assert came.cut > 0, "no process was killed while it asked"
    assert came.outputs == 1
