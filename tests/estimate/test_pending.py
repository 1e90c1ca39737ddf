from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages import params
from stages.errors import GlossaError
from stages.estimate.pending import Pending, Stage, stages_of
from stages.wiring.coder import stage_of
from tests.clones import PARAMS, Clone

P = params.parse(
    params.Params,
    {
        **PARAMS,
        "explainers": {"llm": {"kind": "none"}, "pattern": {"kind": "pattern"}},
        "scorers": {"detection": {"kind": "detection"}},
    },
    "",
)
EXPLAIN, SCORE = Stage("one", "llm"), Stage("one", "llm", "detection")
CHANGED: list[Any] = [{"changed deps": {"data/tokens": "modified"}}]
GONE: list[Any] = [{"changed outs": {"x": "deleted"}}]


def test_stages_have_the_names_that_the_pipeline_gives_them() -> None:
    assert stage_of(P, *EXPLAIN) == "pipelines/one/dvc.yaml:explain@llm"
    assert stage_of(P, *SCORE) == "pipelines/one/dvc.yaml:score@llm-detection"
    assert EXPLAIN.words == ("explain", "one", "llm")
    assert SCORE.words == ("score", "one", "llm", "detection")


@pytest.mark.parametrize(
    ("status", "explain_runs", "score_runs", "samples_change"),
    [
        ({}, False, False, False),
        ({"pipelines/one/dvc.yaml:score@llm-detection": CHANGED}, False, True, False),
        ({"pipelines/one/dvc.yaml:explain@llm": CHANGED}, True, True, False),
        ({"pipelines/one/dvc.yaml:explain@llm": GONE}, True, False, False),
        ({"pipelines/one/dvc.yaml:explain@llm": [*GONE, *CHANGED]}, True, True, False),
        ({"pipelines/one/dvc.yaml:explain@llm": ["always changed"]}, True, True, False),
        ({"pipelines/one/dvc.yaml:sample": CHANGED}, True, True, True),
        ({"pipelines/one/dvc.yaml:cache": CHANGED}, True, True, True),
        (
            {"pipelines/one/dvc.yaml:cache": GONE},
            False,
            False,
            False,
        ),  # as on a clone without the activations: the same would be made
        ({"tokenize": CHANGED}, True, True, True),
        (
            {
                "pipelines/two/dvc.yaml:sample": CHANGED,
                "pipelines/two/dvc.yaml:explain@llm": CHANGED,
                "report": CHANGED,
            },
            False,
            False,
            False,
        ),
    ],
)
def test_what_changes_makes_what_follows_run(
    status: dict[str, Any], explain_runs: bool, score_runs: bool, samples_change: bool
) -> None:
    pending = Pending(P, status)
    assert pending.runs(EXPLAIN) == explain_runs
    assert pending.runs(SCORE) == score_runs
    assert pending.samples_change("one") == samples_change


@pytest.mark.parametrize(
    ("status", "runs"),
    [
        ({}, False),
        ({"compare": CHANGED}, True),
        ({"compare": GONE}, True),
        ({"pipelines/two/dvc.yaml:sample": CHANGED}, True),
        ({"pipelines/one/dvc.yaml:explain@pattern": GONE}, False),
        ({"pipelines/one/dvc.yaml:score@pattern-detection": CHANGED}, False),
    ],
)
def test_the_comparison_runs_with_the_explanations(status: dict[str, Any], runs: bool, at_finished: Path) -> None:
    assert Pending(P, status).compare_runs(params.load()) == runs


def test_dvc_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Clone(tmp_path / "clone")
    monkeypatch.chdir(clone.folder)
    for variable in ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "dvc"))
    subprocess.run(["git", "init", "--quiet"], check=True)
    clone.wire()
    stages = stages_of(params.load())
    assert [stage_of(params.load(), *stage) for stage in stages] == [
        "pipelines/one/dvc.yaml:explain@pattern",
        "pipelines/two/dvc.yaml:explain@pattern",
        "pipelines/one/dvc.yaml:score@pattern-detection",
        "pipelines/one/dvc.yaml:score@pattern-fuzzing",
        "pipelines/two/dvc.yaml:score@pattern-detection",
        "pipelines/two/dvc.yaml:score@pattern-fuzzing",
    ]
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--all", "--name-only"], capture_output=True, text=True
    )
    assert {stage_of(params.load(), *stage) for stage in stages} <= set(listed.stdout.split())
    pending = Pending.from_dvc(params.load())
    assert all(pending.runs(stage) for stage in stages)
    (clone.folder / "dvc.yaml").write_text("stages: [")
    with pytest.raises(GlossaError, match="expected dvc status to tell which stages would run, but it fails"):
        Pending.from_dvc(params.load())
