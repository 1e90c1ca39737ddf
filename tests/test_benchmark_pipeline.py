"""benchmarks/pipeline.py runs, on pipelines so small that what they take says nothing; times are not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from stages import params, plan
from tests.clones import ROOT

SCRIPT = ROOT / "benchmarks/pipeline.py"
DEMO = ROOT / "benchmarks/pipeline_demo.yaml"


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import pipeline

    return pipeline


def test_both_layouts_run_the_same_stages(pipeline: ModuleType, tmp_path: Path) -> None:
    there = ["git", "-C", str(ROOT), "cat-file", "-e", f"{pipeline.OLD}^{{commit}}"]
    if subprocess.run(there, capture_output=True, check=False).returncode:
        pytest.skip("this is no clone with history")
    file = tmp_path / "found.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--repeat", "1", "--json", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = json.loads(file.read_text())
    assert list(kept["runs"]) == list(pipeline.QUICK)
    runs = {name: pipeline.Found(**found) for name, found in kept["runs"].items()}
    assert {name: found.stages for name, found in runs.items()} == {
        "trivial": 1,
        "old:2": 2 * 6 + 3,
        "new:2": 2 * 6 + 4,  # and the stage `code`
        "new:4": 4 * 6 + 4,
    }
    assert all(found.repro > 0 and found.nothing > 0 for found in runs.values())
    assert runs["old:2"].code is None
    assert runs["new:2"].code > 0
    assert runs["old:2"].lock_lines > runs["new:2"].lock_lines > 0
    assert runs["new:4"].yaml_lines > runs["new:2"].yaml_lines > 0
    printed = done.stdout.splitlines()
    for row in kept["table"]:
        assert any(line.startswith(f"| {row['what']} | {row['old']} | {row['new']} |") for line in printed)
    assert "2 coders (16 stages)" in {row["what"] for row in kept["table"]}


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "old:demos"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "expected trivial, or old or new with demo, whole or a number, found 'old:demos'" in done.stderr


def test_many_coders_have_the_params_of_the_demo_else(pipeline: ModuleType, tmp_path: Path) -> None:
    (file := tmp_path / "params.yaml").write_text(pipeline.wide(DEMO.read_text(), 42))
    wide, demo = params.load(file), params.load(DEMO)
    assert list(wide.coders) == [f"c{number:02d}" for number in range(42)]
    assert list(wide.coders.values())[:10] == 2 * list(demo.coders.values())
    assert wide.scorers == {name: demo.scorers[name] for name in pipeline.SCORERS}
    assert len(wide.coders) * 3 + len(list(plan.wanted(wide))) + 3 == 255
    kept = {"coders": demo.coders, "scorers": demo.scorers}
    assert wide.model_copy(update=kept) == demo


def test_the_cost_of_many_stages_is_told_by_a_parabola(pipeline: ModuleType) -> None:
    def found(stages: int) -> object:
        return pipeline.Found(stages, 2 + 0.5 * stages + 0.01 * stages**2)

    few = {"trivial": found(1), "old:5": found(33), "old:10": found(63), "new:10": pipeline.Found(64, 1.0)}
    assert pipeline.fitted(few, 255) is None
    enough = {**few, "old:15": found(93)}
    assert pipeline.fitted(enough, 255) == pytest.approx(found(255).repro)


def test_the_table_says_what_was_missed(pipeline: ModuleType) -> None:
    found = {
        "old:demo": pipeline.Found(53, 100.0, 5.0, None, 5300, 400),
        "new:demo": pipeline.Found(54, 20.0, 1.6, None, 1080, 200, 2.5),
        "old:42": pipeline.Found(255, 800.0, 60.0),
        "new:42": pipeline.Found(256, 41.0, 5.0, None, 6401),
        "new:10": pipeline.Found(64, 8.0, 2.0),
        "old:whole": pipeline.Found(53, 500.0, 5.0, 400.0),
        "new:whole": pipeline.Found(54, 340.0, 1.5, 200.0),
    }
    rows = {row.what: row for row in pipeline.table(found)}
    assert {what: (row.ratio, row.reached) for what, row in rows.items() if row.must} == {
        "the demo (54 stages)": ("0.200", True),
        "42 coders (256 stages)": ("0.051", False),
        "from 10 to 42 coders": ("", False),
        "nothing to do: the demo": ("", False),
        "nothing to do: 42 coders": ("", True),
        "lines of lock files a stage: the demo": ("", True),
        "lines of lock files a stage: 10 coders": ("", True),
        "lines of lock files a stage: 42 coders": ("", False),
        "the demo with its real commands, wall": ("0.50", True),
        "the demo with its real commands, processor": ("0.68", True),
    }
    assert rows["from 10 to 42 coders"].new == "5.1-fold"
    assert (rows["lines of lock files a stage: the demo"].old, rows["lines of lock files a stage: the demo"].new) == (
        "100.0",
        "20.0",
    )
    del found["old:42"]
    assert "42 coders (256 stages)" not in {row.what for row in pipeline.table(found)}
