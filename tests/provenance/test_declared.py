"""What DVC is told to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.errors import GlossaError
from stages.provenance.declared import Declared

ROOT = """\
stages:
  plain:
    cmd: [first, second]
    deps: [a, "b${c}", {d: {}}]
    outs: [{x: {cache: false}}, "\\\\${y}"]
    metrics: [m]
  many: {foreach: [a], do: {cmd: "do ${item}", deps: [a]}}
  empty: {cmd: nothing}
"""
CODER = """\
stages:
  explain:
    matrix: {explainer: [llm]}
    wdir: ../..
    cmd: glossa explain one ${item.explainer}
    deps: [data/tokens, "texts/\\\\${HOME}"]
    outs: ["data/explanations/one/${item.explainer}"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the files of the root and of one coder."""
    monkeypatch.chdir(tmp_path)
    Path("pipelines/one").mkdir(parents=True)
    Path("dvc.yaml").write_text(ROOT)
    Path("pipelines/one/dvc.yaml").write_text(CODER)
    return tmp_path


def test_commands_and_paths_are_told_as_far_as_they_are_known(folder: Path) -> None:
    declared = Declared.read(["one", "two"])
    plain = declared.get("plain")
    assert plain is not None
    assert (plain.file, plain.cmd) == (Path("dvc.yaml"), "first && second")
    assert plain.deps is None
    assert plain.outs == {"x", "${y}", "m"}
    explain = declared.get("pipelines/one/dvc.yaml:explain@llm")
    assert explain == (
        Path("pipelines/one/dvc.yaml"),
        "glossa explain one llm",
        {"data/tokens", "texts/${HOME}"},
        {"data/explanations/one/llm"},
    )
    assert declared.get("many@a") == (Path("dvc.yaml"), None, {"a"}, set())
    assert declared.get("empty") == (Path("dvc.yaml"), "nothing", set(), set())


@pytest.mark.parametrize(
    "name",
    [
        "explain@llm",
        "plain@llm",
        "pipelines/one/dvc.yaml:explain@human",
        "pipelines/one/dvc.yaml:plain",
        "pipelines/two/dvc.yaml:explain@llm",
        "elsewhere/dvc.yaml:plain",
    ],
)
def test_a_stage_that_nothing_declares(name: str, folder: Path) -> None:
    assert Declared.read(["one", "two"]).get(name) is None


def test_damage_is_told_in_one_sentence(folder: Path) -> None:
    Path("pipelines/one/dvc.yaml").write_text("stages:\n  explain: [\n")
    with pytest.raises(
        GlossaError, match=r"^expected stages in pipelines/one/dvc.yaml, but it is damaged .* from git$"
    ):
        Declared.read(["one"])
    Path("pipelines/one/dvc.yaml").write_text("stages: {explain: 3}\n")
    with pytest.raises(GlossaError, match=r"expected pipelines/one/dvc.yaml to say of every stage what it does"):
        Declared.read(["one"])
