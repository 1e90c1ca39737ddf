from __future__ import annotations

import shutil
import signal
from pathlib import Path

from stages import paths
from stages.latents import merge
from tests import nursery
from tests.folders import tree

# Steps are counted from where something is kept or taken.
CODE = """
import torch, zarr
import transformers.models.llama.modeling_llama
from stages.latents import capture, job, kept, merge, workers
from stages.machine import links, content_store
from stages.subject import load, unembedding
from stages.cli import main

def begin(fast):
    def begun(*args):
        mortal((links, "link"), (content_store, "file_sha256"), (Path, "rename"), (content_store.shutil, "rmtree"), (kept, "complete"))
        return fast(*args)
    return begun

def work():
    for name in ("keep", "take"):
        setattr(content_store.ContentStore, name, begin(getattr(content_store.ContentStore, name)))
    main(["cache", "one"], standalone_mode=False)
"""


def test_killed_at_any_moment_the_next_run_gives_the_same(
    tokenized: Path, finished_workplace: Path, stores: Path
) -> None:
    expected = tree(finished_workplace / paths.latents("one"))
    settings = {"OMP_NUM_THREADS": "1", "GLOSSA_SHARE_FORWARD": "false", "GLOSSA_DEVICE": "cpu", "GLOSSA_WORKERS": "1"}
    with nursery.opened(CODE, **settings) as run:
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
    assert [path.name for path in paths.latents("one").parent.iterdir()] == ["one.zarr"]
