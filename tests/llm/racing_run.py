"""Several processes ask the same questions with one journal, and some are killed and begun anew; prints what it came to.

``python -m tests.llm.racing_run N --processes P [--kills K --seed S]`` in a folder with a runtime.yaml whose endpoint ``lab`` is a
scripted server in a process of its own. Every process is a fork of this one, which has imported everything and opened nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sqlite3
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet

from stages.llm.journal.store import Journal
from stages.machine import runtime
from tests.llm.crashing_run import run, size


class Came(NamedTuple):
    """What a race came to."""

    questions: int
    calls: int
    """That the server got for them and did not turn away."""
    twice: int
    """Calls beyond the first for a question that no process had under way when it was killed."""
    cut: int
    """Attempts that were under way when their process was killed."""
    probes: int
    """Calls to find out what the server does."""
    outputs: int
    """Different results among the processes; there should be one."""


def begin(number: int, n: int) -> int:
    """Forks a process that asks ``n`` questions; returns its number."""
    child = os.fork()
    if not child:
        run(Path(f"out-{number}"), n)
        os._exit(0)
    return child


def busiest(children: dict[int, int]) -> int:
    """Returns the process that has claimed most questions."""
    db = sqlite3.connect(f"file:{runtime.home() / 'journal.sqlite'}?mode=ro", uri=True)
    claims = Counter(process for (process,) in db.execute("SELECT process FROM claim"))
    db.close()
    return max(children, key=lambda child: claims[child])


def race(n: int, processes: int, kills: int, seed: int) -> None:
    """Has ``n`` questions asked by every process, and ``kills`` of them killed, each in another part of the work."""
    generator = random.Random(seed)
    children = {begin(number, n): number for number in range(processes)}
    for kill in range(kills):
        while size() < n * (kill + 0.5) / (kills + 1):
            time.sleep(0.005)
        time.sleep(generator.uniform(0, 0.05))
        # By turns the one that asks most just now, and any, which may be one that waits for its answers.
        victim = busiest(children) if kill % 2 == 0 else generator.choice(list(children))
        number = children.pop(victim)
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        children[begin(number, n)] = number
    for child in children:
        assert os.waitpid(child, 0)[1] == 0


def count(processes: int) -> Came:
    """Compares what the server was sent with what the journal says, after a race."""
    with urllib.request.urlopen(runtime.load().endpoints["lab"].base_url.replace("/v1", "/counts")) as response:
        sent = Counter(json.load(response)["counts"])
    db = sqlite3.connect(runtime.home() / "journal.sqlite")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    cut = Counter(key for (key,) in db.execute("SELECT key FROM attempt WHERE ended IS NULL"))
    answers = Counter(key for (key,) in db.execute("SELECT key FROM attempt WHERE status = 200"))
    turned_away = Counter(key for (key,) in db.execute("SELECT key FROM attempt WHERE status = 429"))
    keys = [key for (key,) in db.execute("SELECT key FROM response")]
    assert db.execute("SELECT count(*) FROM claim").fetchone() == (0,)
    db.close()
    calls = twice = 0
    with Journal.at_home() as journal:
        for key in keys:
            digest = hashlib.sha256(journal[key].request).hexdigest()
            got = sent.pop(digest) - turned_away.pop(key, 0)
            calls += got
            twice += max(answers[key] - 1, got - 1 - cut[key], 0)
    written = {
        tuple(hashlib.sha256(file.read_bytes()).digest() for file in sorted(Path(f"out-{number}").iterdir()))
        for number in range(processes)
    }
    return Came(len(keys), calls, twice, cut.total(), sent.total() - turned_away.total(), len(written))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("n", type=int)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pa.array(["a"])  # imports pandas
    race(arguments.n, arguments.processes, arguments.kills, arguments.seed)
    print(json.dumps(count(arguments.processes)._asdict()))


if __name__ == "__main__":
    main()
