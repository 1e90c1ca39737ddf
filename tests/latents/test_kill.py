from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.folders import tree

STORE = "data/latents/one.zarr"
ROWS, LENGTH = 100, 32
ROWS_AT_ONCE = 2

# Every line it reads starts a process that caches; only what takes long to import is there already. It works slowly enough
# to be caught at it.
NURSERY = f"""
import os, sys, time, traceback
import torch, zarr
import transformers.models.llama.modeling_llama
from stages.latents import capture, job, merge, spec, workers
from stages.subject import load, unembedding
from stages.cli import main
spec.RANGE_TOKENS = {ROWS_AT_ONCE * LENGTH}
def slow(kind, name, seconds):
    fast = getattr(kind, name)
    setattr(kind, name, lambda *args, **kwargs: (time.sleep(seconds), fast(*args, **kwargs))[1])
slow(capture.Capture, "run", 0.02)
slow(merge.Shards, "__call__", 0.4)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        try:
            main(["cache", "one"], standalone_mode=False)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def nursery(workplace: Path, finished_workplace: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    shutil.copytree(finished_workplace / "data/tokens", workplace / "data/tokens")
    settings = {"OMP_NUM_THREADS": "1", "GLOSSA_SHARE_FORWARD": "false", "GLOSSA_DEVICE": "cpu"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", NURSERY], env=os.environ | settings, text=True, **pipes) as process:
        yield process
        process.stdin.close()


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_is_finished_is_never_done_again_however_often_it_is_killed(
    nursery: subprocess.Popen[str], workplace: Path, finished_workplace: Path, tmp_path: Path
) -> None:
    generator = random.Random(0)
    scratch = tmp_path / "home/scratch"
    known: dict[str, tuple[int, int]] = {}
    killed_at = []

    def look() -> dict[str, tuple[int, int]]:
        """Inode and time of change of every finished run; what was finished has to be the same file for ever."""
        found = {}
        for file in scratch.glob("*/run-*.bin"):
            try:
                stat = file.stat()
            except FileNotFoundError:  # the store is finished
                continue
            found[file.name] = (stat.st_ino, stat.st_mtime_ns)
        assert {name: run for name, run in known.items() if name in found} == {
            name: run for name, run in found.items() if name in known
        }
        known.update(found)
        return found

    def cache(due: Callable[[], bool], delay: float) -> int:
        """Starts a process, kills it ``delay`` seconds after it is ``due``, and returns how it ended."""
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        nursery.stdin.write("\n")
        nursery.stdin.flush()
        line = nursery.stdout.readline()
        if not line:
            pytest.fail(nursery.stderr.read() if nursery.stderr else "")
        while is_alive(int(line)):
            look()
            if due():
                time.sleep(delay)
                os.kill(int(line), signal.SIGKILL)
                break
            time.sleep(0.001)
        ended = int(nursery.stdout.readline())
        killed_at.append(len(look()))
        return ended

    n_runs = ROWS // ROWS_AT_ONCE
    assert cache(lambda: True, generator.random() * 0.3) == -signal.SIGKILL  # while it starts
    for _ in range(3):
        wanted = len(known) + generator.randint(1, 14)
        assert cache(lambda wanted=wanted: len(known) >= wanted, generator.random() * 0.02) == -signal.SIGKILL
    merging = workplace / "data/latents/.one.zarr.partial"
    assert cache(merging.exists, generator.random() * 0.2) == -signal.SIGKILL
    assert not (workplace / STORE).exists()
    assert killed_at == sorted(killed_at)
    assert sum(0 < found < n_runs for found in killed_at) >= 3
    assert killed_at[-1] == n_runs

    assert cache(lambda: False, 0) == 0
    assert len(known) == n_runs
    assert list(scratch.iterdir()) == []
    assert tree(workplace / STORE) == tree(finished_workplace / STORE)
    assert not merging.exists()
