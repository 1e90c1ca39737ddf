"""The demo as it ran, and a project under the names that pages use, with a language model behind a scripted server."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clones import ROOT
from tests.docs import places
from tests.docs.places import Terminal
from tests.llm.asking import JUDGE
from tests.llm.scripted_server import Server
from tests.once import once
from tests.provenance import small
from tests.repositories import Repository

EMBEDDER = "all-MiniLM-L6-v2"


def params() -> dict[str, Any]:
    """Those of the small project, with the names of pages: the coders resid2 and resid7, a model ``judge``."""
    found = copy.deepcopy(small.PARAMS)
    one, two = found["coders"].values()
    return found | {
        "coders": {"resid2": one, "resid7": two},
        "models": {"judge": {**JUDGE, "logprobs": 5, "system": "turn"}},
        "explainers": {"llm": {"kind": "default", "model": "judge"}, "pattern": {"kind": "pattern"}},
        "scorers": {
            "detection": {"kind": "detection", "model": "judge", "examples_per_prompt": 4, "latents": 6},
            "embedding": {"kind": "embedding", "embedder": EMBEDDER, "latents": 30},
        },
    }


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory, subject_folder: Path, make_coder: Callable[..., Path]) -> Path:
    """The project after its first run, in no repository yet; copy it before changing anything."""

    def make(folder: Path) -> None:
        small.furnish(folder, subject_folder, make_coder, params())
        small.run(folder)

    return once(tmp_path_factory, "documented", make)


@pytest.fixture
def uncommitted(ran: Path, tmp_path: Path) -> Repository:
    """A copy of it, in a repository that has the commit from before the run."""
    folder = tmp_path / "project"
    shutil.copytree(ran, folder)
    for name in ("tmp", "site"):
        shutil.rmtree(folder / ".dvc" / name)
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc" / name)
    shutil.copytree(ROOT / ".dvc/plots", folder / ".dvc/plots")
    repository = Repository(folder)
    repository.run("git", "init", "-q", "-b", "main")
    locks = [folder / "dvc.lock", *folder.glob("pipelines/*/dvc.lock"), *folder.rglob("made.json")]
    kept = {file: file.read_bytes() for file in locks}
    for file in locks:
        file.write_text("" if file.suffix == ".lock" else "{}")
    repository.commit("Before the run")
    for file, content in kept.items():
        file.write_bytes(content)
    return repository


@pytest.fixture
def project(uncommitted: Repository) -> Iterator[Terminal]:
    """The same, committed, and its language model."""
    with Server() as server:
        endpoints = {"lab": {"base_url": server.url, "concurrency": 8}}
        (uncommitted.folder / "runtime.yaml").write_text(json.dumps({"device": "cpu", "endpoints": endpoints}))
        uncommitted.commit("The run")
        yield Terminal(uncommitted)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The demo as it ran; what is typed there changes none of it."""
    folder = once(tmp_path_factory, "demo", lambda folder: places.demo(folder / "glossa")) / "glossa"
    if not places.is_there(folder):
        places.missing()
    return Repository(folder)
