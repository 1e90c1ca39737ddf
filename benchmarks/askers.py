"""How often several processes with one journal pay for the same question: ``python -m benchmarks.askers [--small]``.

For every number of processes and of kills, a server in a process of its own counts what it gets, while all processes ask the same
questions and some are killed, each in another part of the work, and begun anew. Twice are the calls for a question that was answered, or was
under way in a process that was not killed: there should be none. Calls that were under way at a kill may be made again, as nobody can know what became of them.

Ends with 1 if anything was asked twice, or two processes wrote something else. ``--small`` is what the tests run: half a minute, of two processes
of which one is killed once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("processes", "kills", "questions", "calls", "twice", "under way at a kill", "probes", "outputs")
LONG = {"processes": [2, 4, 8, 16], "kills": [0, 20], "questions": 4000}
SMALL = {"processes": [2], "kills": [0, 1], "questions": 200}


@contextmanager
def served(*shares: str) -> Iterator[str]:
    """The address of a scripted server in a process of its own, which takes these options."""
    command = [sys.executable, "-m", "tests.llm.scripted_server", *shares]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def race(processes: int, kills: int, questions: int, concurrency: int, latency: float) -> list[int]:
    """Returns what the columns say of one race; the server answers after ``latency`` to twice as many seconds, one of ten unreadably."""
    shares = (f"--latency={latency}", f"--spread={latency}", "--malformed=0.1", "--busy=0.05")
    with tempfile.TemporaryDirectory() as folder, served(*shares) as url:
        runtime = {"endpoints": {"lab": {"base_url": f"{url}/v1", "concurrency": concurrency}}}
        Path(folder, "runtime.yaml").write_text(json.dumps(runtime))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOSSA_HOME": f"{folder}/home"}
        options = [f"--processes={processes}", f"--kills={kills}"]
        command = [sys.executable, "-m", "tests.llm.racing_run", str(questions), *options]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return [processes, kills, *json.loads(done.stdout.splitlines()[-1]).values()]


def is_sound(came: list[int]) -> bool:
    """Whether a race came to what it must: nothing twice, no more calls anew than were under way at kills, and one output."""
    found = dict(zip(COLUMNS, came, strict=True))
    anew = found["calls"] - found["questions"]
    return found["twice"] == 0 and 0 <= anew <= found["under way at a kill"] and found["outputs"] == 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--processes", type=int, nargs="+")
    parser.add_argument("--kills", type=int, nargs="+")
    parser.add_argument("--questions", type=int)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--latency", type=float, default=0.05)
    arguments = parser.parse_args()
    for name, value in (SMALL if arguments.small else LONG).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    sound = True
    for processes in arguments.processes:
        for kills in arguments.kills:
            came = race(processes, kills, arguments.questions, arguments.concurrency, arguments.latency)
            sound &= is_sound(came)
            print(f"| {' | '.join(f'{value:,}' for value in came)} |", flush=True)
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
