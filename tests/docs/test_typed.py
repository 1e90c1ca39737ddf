"""What pages tell people to type does what they say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.docs import places
from tests.docs.places import Terminal
from tests.docs.steps import CLONE, DEMO, PROJECT, TRACKED, UPLOADED
from tests.hub_server import Hub
from tests.repositories import Repository


@pytest.mark.parametrize("page", DEMO)
def test_in_the_demo(demo: Repository, page: str, tmp_path: Path) -> None:
    for name in ("ratings.jsonl", "written.jsonl"):
        (demo.folder / name).unlink(missing_ok=True)
    Terminal(demo).type_all(DEMO[page])


def test_in_a_clone_in_which_nothing_ran(tmp_path: Path) -> None:
    repository = places.clone(tmp_path / "glossa", locks=False)
    for steps in CLONE.values():
        Terminal(repository).type_all(steps)
        repository.run("git", "checkout", "-q", "params.yaml")


@pytest.mark.parametrize("page", PROJECT)
def test_in_a_project(project: Terminal, page: str) -> None:
    project.type_all(PROJECT[page])


def test_model_and_corpus_come_under_dvc(uncommitted: Repository) -> None:
    uncommitted.run("git", "rm", "-r", "-q", "--cached", "texts", "subject")
    (uncommitted.folder / "models").mkdir()
    (uncommitted.folder / "subject").rename(uncommitted.folder / "models/subject")
    uncommitted.replace("params.yaml", '"model": "subject"', '"model": "models/subject"')
    uncommitted.run("glossa", "wire")
    uncommitted.commit("Before they are tracked")
    uncommitted.run("git", "rm", "-r", "-q", "--cached", "texts", "models/subject")
    Terminal(uncommitted).type_all(TRACKED["docs/corpus.md"])
    assert "models/subject" in uncommitted.run("dvc", "ls", ".", "-R", "--dvc-only")


def test_a_data_set_is_uploaded(demo: Repository, hub: Hub, tmp_path: Path) -> None:
    hub.writer = "hf_writer"
    environment = {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": "hf_writer",
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    Terminal(demo, {"OWNER/NAME": "lab/explanations"}, environment, is_new=True).type_all(UPLOADED["docs/share.md"])
    files = hub.repositories["lab/explanations"].commits[hub.repositories["lab/explanations"].branches["main"]]
    assert {"README.md", "explanations/resid2.parquet", "examples/resid2.parquet"} <= set(files)


def test_a_trace_differs_in_nothing_before_and_after_the_commit(uncommitted: Repository) -> None:
    """README's steps end before anybody commits."""
    for explainer in ("llm", "pattern"):
        said = uncommitted.run("glossa", "trace", "resid2", "7", "--explainer", explainer)
        assert "DIFFERS" not in said
    assert "is not as committed" in said
    uncommitted.commit("The run")
    said = uncommitted.run("glossa", "trace", "resid2", "7")
    assert "DIFFERS" not in said
    assert "is not as committed" not in said
