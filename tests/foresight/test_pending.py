from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages import params
from stages.errors import GlossaError
from stages.foresight.pending import Pending, Stage, stages_of
from tests.clones import Clone

EXPLAIN, SCORE = Stage("one", "llm"), Stage("one", "llm", "detection")
CHANGED: list[Any] = [{"changed deps": {"data/tokens": "modified"}}]
GONE: list[Any] = [{"changed outs": {"x": "deleted"}}]


def test_stages_have_the_names_that_the_pipeline_gives_them() -> None:
    assert (EXPLAIN.dvc, SCORE.dvc) == ("explain-llm@one", "score-detection@one-llm")
    assert EXPLAIN.words == ("explain", "one", "llm")
    assert SCORE.words == ("score", "one", "llm", "detection")


@pytest.mark.parametrize(
    ("status", "explain_runs", "score_runs", "samples_change"),
    [
        ({}, False, False, False),
        ({"score-detection@one-llm": CHANGED}, False, True, False),
        ({"explain-llm@one": CHANGED}, True, True, False),
        ({"explain-llm@one": GONE}, True, False, False),
        ({"explain-llm@one": [*GONE, *CHANGED]}, True, True, False),
        ({"explain-llm@one": ["always changed"]}, True, True, False),
        ({"sample@one": CHANGED}, True, True, True),
        ({"cache@one": CHANGED}, True, True, True),
        ({"cache@one": GONE}, False, False, False),  # as on a clone without the activations: the same would be made
        ({"tokenize": CHANGED}, True, True, True),
        ({"sample@two": CHANGED, "explain-llm@two": CHANGED, "report": CHANGED}, False, False, False),
    ],
)
def test_what_changes_makes_what_follows_run(
    status: dict[str, Any], explain_runs: bool, score_runs: bool, samples_change: bool
) -> None:
    pending = Pending(status)
    assert pending.runs(EXPLAIN) == explain_runs
    assert pending.runs(SCORE) == score_runs
    assert pending.samples_change("one") == samples_change


@pytest.mark.parametrize(
    ("status", "runs"),
    [
        ({}, False),
        ({"compare": CHANGED}, True),
        ({"compare": GONE}, True),
        ({"sample@two": CHANGED}, True),
        ({"explain-pattern@one": GONE}, False),
        ({"score-detection@one-pattern": CHANGED}, False),
    ],
)
def test_the_comparison_runs_with_the_explanations(status: dict[str, Any], runs: bool, at_finished: Path) -> None:
    assert Pending(status).compare_runs(params.load()) == runs


def test_dvc_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Clone(tmp_path / "clone")
    monkeypatch.chdir(clone.folder)
    for variable in ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "dvc"))
    subprocess.run(["git", "init", "--quiet"], check=True)
    clone.wire()
    stages = stages_of(params.load())
    assert [stage.dvc for stage in stages] == [
        "explain-pattern@one",
        "explain-pattern@two",
        "score-detection@one-pattern",
        "score-fuzzing@one-pattern",
        "score-detection@two-pattern",
        "score-fuzzing@two-pattern",
    ]
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"], capture_output=True, text=True
    )
    assert {stage.dvc for stage in stages} <= set(listed.stdout.split())
    pending = Pending.from_dvc()
    assert all(pending.runs(stage) for stage in stages)
    (clone.folder / "dvc.yaml").write_text("stages: [")
    with pytest.raises(GlossaError, match="expected dvc status to tell which stages would run, but it fails"):
        Pending.from_dvc()
