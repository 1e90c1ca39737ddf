from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.errors import GlossaError
from stages.provenance.lock import Entry, Lock

TEXT = """\
schema: '2.0'
stages:
  tokenize:
    cmd: glossa tokenize
    deps:
    - path: constraints.txt
      hash: md5
      md5: 686998c9
      size: 3188
    - path: old.txt
      md5: 123
    params:
      params.yaml:
        corpus:
          source: text
        subject.revision:
    outs:
    - path: data/tokens
      hash: md5
      md5: ef96.dir
      size: 530573
      nfiles: 5
  explain-llm@one:
    cmd: glossa explain one llm
"""


def test_stages_are_read_as_dvc_wrote_them() -> None:
    lock = Lock(TEXT)
    assert list(lock) == ["tokenize", "explain-llm@one"]
    found = lock["tokenize"]
    assert found.cmd == "glossa tokenize"
    assert found.deps == (Entry("constraints.txt", "686998c9", 3188), Entry("old.txt", None))
    assert found.outs == (Entry("data/tokens", "ef96.dir", 530573),)
    assert found.params == {"params.yaml": {"corpus": {"source": "text"}, "subject.revision": None}}
    assert lock["explain-llm@one"].outs == ()


def test_an_output_is_of_the_stage_that_wrote_it_last_by_whatever_name() -> None:
    text = "stages:\n  {}:\n    cmd: a\n    deps:\n    - path: data/x\n      md5: 1\n    outs:\n    - path: data/y\n      md5: 2\n"
    lock = Lock("schema: '2.0'\n" + text.format("old@one") + text.format("new@one").removeprefix("stages:\n"))
    assert list(lock) == ["old@one", "new@one"]
    assert lock.maker(Path("data/y")) == "new@one"
    assert lock.maker(Path("data/x")) is None
    assert list(lock.outputs) == ["data/y"]


def test_all_of_a_real_lock_is_read(project: Path) -> None:
    lock = Lock.read()
    whole = YAML(typ="safe", pure=True).load(Path("dvc.lock").read_text())["stages"]
    assert list(lock) == list(whole)
    for name, value in whole.items():
        assert [entry.path for entry in lock[name].deps] == [entry["path"] for entry in value["deps"]]
        assert lock[name].params == value.get("params", {})


@pytest.mark.parametrize("text", ["  one:\n    deps: [{}]\n", "  one:\n    cmd: [\n", "  one: 3\n"])
def test_a_damaged_entry_is_named(text: str) -> None:
    lock = Lock(f"schema: '2.0'\nstages:\n{text}")
    with pytest.raises(GlossaError, match=r"dvc.lock: the entry of one is damaged .*; restore it from git"):
        lock["one"]


def test_no_lock_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(GlossaError, match="there is no such file; run dvc repro"):
        Lock.read(tmp_path / "dvc.lock")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    with pytest.raises(GlossaError, match="expected stages in"):
        Lock.read(tmp_path / "dvc.lock")
