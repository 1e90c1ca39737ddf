from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from stages import paths
from stages.latents import merge
from tests.folders import tree

# Every line it reads is the number of steps after which a process that caches is killed; they are counted from where something is kept
# or taken.
NURSERY = """
import os, signal, sys, traceback
from pathlib import Path
import torch, zarr
import transformers.models.llama.modeling_llama
from stages.latents import capture, job, kept, merge, workers
from stages.machine import links, shelf
from stages.subject import load, unembedding
from stages.cli import main
def dying(fast):
    def counted(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return fast(*args, **kwargs)
    return counted
def begin(fast):
    def begun(*args):
        for module, name in ((links, "link"), (shelf, "file_sha256"), (Path, "rename"), (shelf.shutil, "rmtree"), (kept, "complete")):
            setattr(module, name, dying(getattr(module, name)))
        return fast(*args)
    return begun
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        left = int(line)
        for name in ("keep", "take"):
            setattr(shelf.Shelf, name, begin(getattr(shelf.Shelf, name)))
        try:
            main(["cache", "one"], standalone_mode=False)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_killed_at_any_moment_the_next_run_gives_the_same(
    tokenized: Path, finished_workplace: Path, stores: Path
) -> None:
    expected = tree(finished_workplace / paths.latents("one"))
    knobs = {"OMP_NUM_THREADS": "1", "GLOSSA_SHARE_FORWARD": "false", "GLOSSA_DEVICE": "cpu", "GLOSSA_WORKERS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", NURSERY], env=os.environ | knobs, text=True, **pipes) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None

        def run(steps: int) -> int:
            nursery.stdin.write(f"{steps}\n")
            nursery.stdin.flush()
            return int(nursery.stdout.readline())

        n = len([name for name in expected if name.startswith(merge.ARRAYS)])
        for steps in (1, 2 * n, 2 * n + 1):  # while it is kept: files linked and hashed, then it gets its name
            shutil.rmtree(stores, ignore_errors=True)
            shutil.rmtree(paths.latents("one"), ignore_errors=True)
            assert run(steps) == -signal.SIGKILL
            assert tree(paths.latents("one")) == expected, "it was there by then"
            assert run(10**6) == 0
            assert tree(paths.latents("one")) == expected
            assert len([path for path in stores.iterdir() if path.is_dir()]) == 1
        for steps in (1, n + 1, 2 * n + 1):  # while it is taken: files linked and hashed, completed, renamed
            shutil.rmtree(paths.latents("one"))
            assert run(steps) == -signal.SIGKILL
            assert not paths.latents("one").exists()
            assert run(10**6) == 0
            assert tree(paths.latents("one")) == expected
        nursery.stdin.close()
    assert [path.name for path in paths.latents("one").parent.iterdir()] == ["one.zarr"]
