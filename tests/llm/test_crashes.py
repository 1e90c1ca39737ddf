"""Killed at any moment, a run goes on where it was: no answer that was received is asked for again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clones import ROOT

N, KILLS, CONCURRENCY = 800, 20, 12


@contextmanager
def server(**shares: float) -> Iterator[str]:
    """A scripted server in a process of its own."""
    options = [f"--{name}={value}" for name, value in shares.items()]
    command = [sys.executable, "-m", "tests.llm.scripted_server", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def told(url: str) -> Counter[str]:
    """How often the server got each body."""
    with urllib.request.urlopen(url.replace("/v1", "/counts")) as response:
        return Counter(json.load(response)["counts"])


def run(folder: Path, url: str, *options: str) -> list[dict[str, int]]:
    """Runs ``crashing_run`` in a folder with a journal of its own."""
    folder.mkdir(exist_ok=True)
    runtime = {"endpoints": {"lab": {"base_url": url, "concurrency": CONCURRENCY}}}
    (folder / "runtime.yaml").write_text(json.dumps(runtime))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOSSA_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "tests.llm.crashing_run", "out", str(N), *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def written(folder: Path) -> dict[str, str]:
    """The hashes of what a run wrote."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted((folder / "out").iterdir())}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_9_at_twenty_moments_costs_no_answer_and_changes_no_byte(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with server(busy=0.07, malformed=0.10, latency=0.01, spread=0.03) as url:
        run(whole, url)
        uninterrupted = told(url)
    assert sorted(written(whole)) == ["answers.json", "transcript.parquet"]
    with server(busy=0.07, malformed=0.10, latency=0.03, spread=0.01) as url:  # answers come in another order
        kills = run(killed, url, "--kills", str(KILLS))
        counts = told(url)
        assert [len(answered) for answered in kills] == sorted(len(answered) for answered in kills)
        assert len(kills) == KILLS
        assert len(kills[-1]) > 0.8 * N
        for answered in kills:
            again = {digest for digest, n in answered.items() if counts[digest] > n}
            assert not again, "an answer that was in the journal at a kill was asked for again"
        # What is sent twice was under way at a kill; nobody can know what became of it.
        assert (counts - uninterrupted).total() <= KILLS * CONCURRENCY
        assert set(counts) == set(uninterrupted)
        assert written(killed) == written(whole)

        run(killed, url)
        assert told(url) == counts, "a run whose answers are all in the journal sent something"
        assert written(killed) == written(whole)
