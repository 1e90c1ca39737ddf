"""The stages of a file one by one: as DVC's own parser gives them."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from stages.params import load
from stages.wiring import coder, locks, matrix
from tests.clones import Clone

TEXT = """\
stages:
  plain: {cmd: "one ${x}", deps: [a]}
  score:
    matrix: {explainer: [llm, rule_s], scorer: [a, b]}
    cmd: run ${item.explainer} ${item.scorer}
    deps: ["data/${item.explainer}", "\\\\${item.scorer}"]
    outs: ["out/${item.explainer}/${item.scorer}": {push: false}]
  many: {foreach: [a, b], do: {cmd: "do ${item}"}}
  other: {matrix: {name: "${names}"}, cmd: "${item.name}"}
"""


def test_every_combination_is_a_stage_and_what_only_dvc_knows_stays() -> None:
    found = matrix.filled(YAML(typ="safe").load(TEXT)["stages"])
    assert list(found) == ["plain", *(f"score@{e}-{s}" for e in ("llm", "rule_s") for s in "ab"), "many@", "other@"]
    assert found["score@rule_s-b"] == {
        "cmd": "run rule_s b",
        "deps": ["data/rule_s", "\\b"],  # DVC leaves this one alone, as its mark is escaped
        "outs": [{"out/rule_s/b": {"push": False}}],
    }
    assert found["plain"]["cmd"] == "one ${x}"
    assert matrix.find(found, "many@a") == {"cmd": "do ${item}"}
    assert matrix.find(found, "other@x") == {"cmd": "${item.name}"}
    for name in ("many", "score", "score@llm", "score@llm-c", "nothing", "plain@a"):
        assert matrix.find(found, name) is None, name


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A wired copy of the repository, the current folder."""
    clone = Clone(tmp_path / "clone")
    monkeypatch.chdir(clone.folder)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    clone.params["explainers"]["other"] = {"kind": "pattern"}
    clone.params["scorers"]["odd"] = {"kind": "intruder", "model": {"provider": "pattern"}}
    clone.write_params()
    clone.wire()
    return clone


def test_names_and_commands_are_those_that_dvc_gives(clone: Clone) -> None:
    with Repo.init(no_scm=True, force=True) as repo:
        due = {stage.addressing: stage.cmd for stage in repo.index.stages if stage.path_in_repo != "dvc.yaml"}
    found = {
        coder.address(file.parent.name, name): stage["cmd"]
        for file, stages in coder.stages(load()).items()
        for name, stage in matrix.filled(stages).items()
    }
    assert found == due
    assert len(found) == 2 * (2 + 2 + 4 + 1)


def test_entries_of_combinations_that_are_no_more_leave_the_lock_files(clone: Clone) -> None:
    names = [
        "explain@pattern",
        "explain@gone",
        "explain",
        "score@pattern-fuzzing",
        "score@pattern-gone",
        "score-latent@gone",
        "judged",
    ]
    entries = "".join(f"  {name}:\n    cmd: glossa {name}\n" for name in names)
    clone.write("pipelines/one/dvc.lock", f"schema: '2.0'\nstages:\n{entries}")
    assert locks.drop_unknown(load()) == (5, False)
    left = YAML(typ="safe").load(Path("pipelines/one/dvc.lock"))["stages"]
    assert list(left) == ["explain@pattern", "score@pattern-fuzzing"]
