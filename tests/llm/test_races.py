"""Several processes with one journal: none asks what another has asked or is asking, unless that one was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clones import ROOT
from tests.llm.racing_run import Came
from tests.llm.test_crashes import server

N, CONCURRENCY = 300, 16


def race(folder: Path, url: str, *options: str) -> Came:
    """Runs ``racing_run`` in a folder with a journal of its own."""
    runtime = {"endpoints": {"lab": {"base_url": url, "concurrency": CONCURRENCY}}}
    (folder / "runtime.yaml").write_text(json.dumps(runtime))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOSSA_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "tests.llm.racing_run", str(N), *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return Came(**json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_that_ask_the_same_pay_once_each_and_write_the_same(tmp_path: Path) -> None:
    with server(latency=0.02, spread=0.03, malformed=0.1) as url:
        came = race(tmp_path, url, "--processes", "3")
    assert came.questions > N  # some are asked again because their answer can't be read
    assert came == Came(came.questions, came.questions, twice=0, cut=0, probes=3, outputs=1)
    assert not list((tmp_path / "home" / "journal.sqlite-askers").iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_killed_process_had_claimed_is_asked_by_another_and_nothing_else_is_asked_twice(tmp_path: Path) -> None:
    kills = 3
    with server(latency=0.05, spread=0.05, malformed=0.1) as url:
        came = race(tmp_path, url, "--kills", str(kills))
    assert came.twice == 0
    assert came.calls - came.questions <= came.cut <= kills * CONCURRENCY
    assert came.cut > 0, "no process was killed while it asked"
    assert came.outputs == 1
