"""Asks a fixed list of questions and writes answers and transcript; with ``--kills`` in processes that are killed.

``python -m tests.llm.crashing_run OUT N [--kills K --seed S]`` in a folder with a runtime.yaml. Every killed process is a fork
of this one, which has imported everything and opened nothing. Prints, as JSON, for every kill how often each body that had an
answer in the journal had been sent by then.
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
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from stages.llm.journal.store import Journal
from stages.llm.journal.transcript import recording
from stages.llm.server import session  # noqa: F401
from stages.machine import runtime
from stages.outputs import new_directory
from tests.llm.asking import judge, question


def run(out: Path, n: int) -> None:
    """Asks ``n`` questions and writes what came of them to ``out``."""
    with recording(out) as transcript:
        answers = [
            answer._asdict() for answer in judge(logprobs=2).answer(question(i, logprobs=True) for i in range(n))
        ]
        with new_directory(out) as partial:
            (partial / "answers.json").write_text(json.dumps(answers, indent=1))
            transcript.save(partial)


def answered() -> dict[str, int]:
    """{sha256 of a body that the journal has an answer to: how often the server has got it}, while nobody runs."""
    with urllib.request.urlopen(runtime.load().endpoints["lab"].base_url.replace("/v1", "/counts")) as response:
        counts = json.load(response)["counts"]
    with Journal.at_home() as journal:
        assert journal._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        keys = [key for (key,) in journal._db.execute("SELECT key FROM response")]
        digests = [hashlib.sha256(journal[key].request).hexdigest() for key in keys]
        return {digest: counts[digest] for digest in digests}


def size() -> int:
    """How many answers the journal has now, while somebody else writes to it."""
    path = runtime.home() / "journal.sqlite"
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return db.execute("SELECT coalesce(max(rowid), 0) FROM response").fetchone()[0]
        finally:
            db.close()
    except sqlite3.Error:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("n", type=int)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pa.array(["a"])  # imports pandas
    generator = random.Random(arguments.seed)
    told = []
    # Killed at a random moment within each of as many equal parts of the work, so that every part of a run is hit.
    for kill in range(arguments.kills):
        child = os.fork()
        if not child:
            run(arguments.out, arguments.n)
            os._exit(0)
        reach = arguments.n * (kill + 0.5) / (arguments.kills + 1)
        while size() < reach and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.02)
        time.sleep(generator.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"run {kill} had ended before it was killed"
        told.append(answered())
    run(arguments.out, arguments.n)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
