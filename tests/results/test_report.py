"""The stage ``report``, as dvc repro runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from stages.cli import main
from tests.folders import tree
from tests.results.furnished import PARAMS, furnish


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    return tmp_path


def test_report_writes_the_same_bytes_twice_and_says_where_to_look(workplace: Path) -> None:
    result = CliRunner().invoke(main, ["report"])
    assert result.exit_code == 0, result.output
    first, title, *table = result.output.splitlines()
    assert (
        first
        == "report: detection of pattern: one 0.80 (floor 0.50), two 0.90 (floor 0.50); open results/report/index.html"
    )
    assert title == "detection, balanced accuracy"
    assert table[-1].split() == ["two", "-", "0.750", "0.750", "to", "0.750", "0.200", "1", "1"], (
        "scores are the end of it"
    )
    assert json.loads((workplace / "results/metrics/two.json").read_text()) == {
        "kept": 2,
        "detection": {"pattern": 0.9, "llm": 0.9},
        "embedding": {"pattern": 0.6, "llm": 0.6},
        "intruder": 0.75,
    }
    first = tree(workplace / "results")
    assert {
        "metrics/one.json",
        "plots/measures.json",
        "plots/scores.json",
        "report/index.html",
        "report/data/two/latents/0.js",
    } <= set(first)
    assert CliRunner().invoke(main, ["report"]).exit_code == 0
    assert tree(workplace / "results") == first


def test_without_scorers_there_are_still_explanations(workplace: Path) -> None:
    scorers = next(line for line in PARAMS.splitlines(keepends=True) if line.startswith("scorers:"))
    (workplace / "params.yaml").write_text(PARAMS.replace(scorers, ""))
    result = CliRunner().invoke(main, ["report"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("report: latents explained by pattern: one 1, two 1;")
    assert json.loads((workplace / "results/plots/measures.json").read_text())["scores"]["one"] == {
        "llm": {},
        "pattern": {},
    }
    assert json.loads((workplace / "results" / "plots" / "scores.json").read_text()) == []
