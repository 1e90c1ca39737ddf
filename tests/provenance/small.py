"""A small project that has run whole, with a language model on the loopback that explains and judges, and DVC's own lock."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from stages.cli import main
from stages.params import load
from stages.plan import wanted
from tests.clones import COPIED, ROOT
from tests.llm.asking import JUDGE
from tests.llm.scripted_server import Server
from tests.once import once

EXPLAINERS = {"llm": {"kind": "default", "model": {**JUDGE, "model": "w"}}, "pattern": {"kind": "pattern"}}
SCORERS = {
    "detection": {"kind": "detection", "model": {**JUDGE, "logprobs": 5}, "examples_per_prompt": 4, "latents": 6}
}
PARAMS = {
    "seed": 0,
    "corpus": {"source": "text", "path": "texts", "context_length": 32, "tokens": 3200, "bos": "<|end|>"},
    "subject": {"model": "subject", "revision": None},
    "cache": {"precision": "exact"},
    "coders": {
        "one": {"path": "coders/one", "hookpoint": "layers.0"},
        "two": {"path": "coders/two", "hookpoint": "layers.1"},
    },
    "sampling": {
        "latents": "all",
        "min_activations": 5,
        "window": 8,
        "train": {"strategy": "quantile", "n": 6},
        "test": {"per_decile": 1, "negatives": {"random": 10}},
    },
    "explainers": EXPLAINERS,
    "scorers": SCORERS,
    "compare": {"embedder": "all-MiniLM-L6-v2"},
    "report": {"examples": 3},
}


def furnish(folder: Path, subject: Path, make_coder: Callable[..., Path], params: dict[str, Any] = PARAMS) -> None:
    """Lays out code, params, texts, a subject and two coders."""
    from tests.conftest import SENTENCES

    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    shutil.copytree(subject, folder / "subject")
    for number, name in enumerate(("one", "two"), 1):
        make_coder(folder / "coders" / name, seed=number)
    (folder / "texts").mkdir()
    for number in range(30):
        words = [SENTENCES[(number * step) % len(SENTENCES)] for step in range(1, 9)]
        (folder / "texts" / f"{number:02}.txt").write_text(" ".join(words), encoding="utf-8")
    (folder / "params.yaml").write_text(json.dumps(params, indent=1))


def built(factory: pytest.TempPathFactory, subject: Path, make_coder: Callable[..., Path]) -> Path:
    """Returns a project that has run whole, the same for all tests; to be copied."""

    def make(folder: Path) -> None:
        furnish(folder, subject, make_coder)
        run(folder)

    return once(factory, "small", make)


def glossa(*arguments: str, code: int = 0) -> str:
    """Runs a command and returns its output."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result.stdout


def run(folder: Path) -> None:
    """Runs all stages in this process, and has DVC note what they read and wrote."""
    p = load(folder / "params.yaml")
    with chdir(folder), Server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOSSA_HOME", str(folder / ".glossa"))
        endpoints = {"lab": {"base_url": server.url, "concurrency": 8}}
        (folder / "runtime.yaml").write_text(json.dumps({"device": "cpu", "endpoints": endpoints}))
        glossa("wire")
        glossa("tokenize")
        for coder in p.coders:
            glossa("cache", coder)
            glossa("sample", coder)
            for explainer in p.explainers:
                glossa("explain", coder, explainer)
        for triple in wanted(p):
            glossa("score", *triple)
        glossa("compare")
        glossa("report")
        lock()


def lock() -> None:
    """Has DVC take what lies in the current folder as what the stages wrote: dvc.lock is its own."""
    from dvc.repo import Repo

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(Path.cwd() / ".dvc/site"))
        patch.setenv("DVC_NO_ANALYTICS", "1")
        repo = Repo.init(no_scm=True, force=True) if not Path(".dvc/tmp").exists() else Repo()
        with repo:
            repo.commit(force=True)


def commit(*files: str) -> None:
    """Commits some files of the current folder with git, all that it does not ignore if none is named."""
    who = ["-c", "user.name=A Name", "-c", "user.email=a@example.org"]
    for words in (["init", "--quiet"], ["add", *(files or ["--all"])], [*who, "commit", "--quiet", "-m", "run"]):
        subprocess.run(["git", *words], check=True, capture_output=True)


def audit(*arguments: str) -> dict[str, Any]:
    """The audit of the current folder: {check: what it found}."""
    result = CliRunner().invoke(main, ["audit", "--json", *arguments], env={**os.environ})
    assert result.exit_code in (0, 1), result.output
    told = json.loads(result.stdout)
    assert told["sound"] == (result.exit_code == 0)
    return {check["name"]: check for check in told["checks"]}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table."""
    return pq.read_table(path).to_pylist()
