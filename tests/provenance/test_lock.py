from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.errors import GlossaError
from stages.provenance.lock import Entry, Lock
from stages.provenance.project import Project
from stages.wiring.locks import LOCK, file_of, of_coder

ROOT = """\
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
      fingerprints.json:
        tokenize: code 1f
          params 2e
    outs:
    - path: data/tokens
      hash: md5
      md5: ef96.dir
      size: 530573
      nfiles: 5
"""
CODER = """\
schema: '2.0'
stages:
  explain@llm:
    cmd: glossa explain one llm
  score@llm-detection:
    cmd:
    - one
    - two
    outs:
    - path: data/scores/one/llm/detection
      hash: md5
      md5: '00000000000000000000000000000012'
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a lock file of the root and one of a coder."""
    monkeypatch.chdir(tmp_path)
    LOCK.write_text(ROOT)
    write(CODER)
    return tmp_path


def write(text: str, coder: str = "one") -> None:
    file = of_coder(coder)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_stages_are_read_as_dvc_wrote_them_and_named_from_the_root(folder: Path) -> None:
    lock = Lock.read()
    explain, score = "pipelines/one/dvc.yaml:explain@llm", "pipelines/one/dvc.yaml:score@llm-detection"
    assert list(lock) == ["tokenize", explain, score]
    assert (file_of("tokenize"), file_of(explain)) == (LOCK, Path("pipelines/one/dvc.lock"))
    found = lock["tokenize"]
    assert (found.name, found.cmd) == ("tokenize", "glossa tokenize")
    assert found.deps == (Entry("constraints.txt", "686998c9", 3188), Entry("old.txt", None))
    assert found.outs == (Entry("data/tokens", "ef96.dir", 530573),)
    assert found.params == {"fingerprints.json": {"tokenize": "code 1f params 2e"}}
    assert lock[explain].outs == ()
    assert lock[score].outs[0].md5 == "00000000000000000000000000000012"
    assert lock[score].cmd == "one && two"


def test_an_output_is_of_all_that_say_they_wrote_it_in_their_order(folder: Path) -> None:
    text = "  {}:\n    cmd: a\n    deps:\n    - path: data/x\n      md5: 123\n    outs:\n    - path: data/y\n      md5: 456\n"
    write("schema: '2.0'\nstages:\n" + text.format("old@one") + text.format("new@one"))
    lock = Lock.read()
    assert lock.makers(Path("data/y")) == ["pipelines/one/dvc.yaml:old@one", "pipelines/one/dvc.yaml:new@one"]
    assert lock.makers(Path("data/x")) == []
    assert set(lock.outputs) == {"data/tokens", "data/y"}


def test_a_coder_that_is_not_asked_for_makes_nothing(folder: Path) -> None:
    write(CODER.replace("/detection", "/detection\n      cloud: none"), "gone")
    here, gone = (f"pipelines/{coder}/dvc.yaml:score@llm-detection" for coder in ("one", "gone"))
    assert Lock.read().makers(Path("data/scores/one/llm/detection")) == [gone, here]
    assert Lock.read(["one"]).makers(Path("data/scores/one/llm/detection")) == [here]
    assert list(Lock.read(["one", "never_ran"])) == list(Lock.read(["one"]))
    write("stages: [", "gone")
    assert here in Lock.read(["one"])


def test_of_several_stages_one_that_there_still_is_made_an_output(project: Path) -> None:
    out = Path("data/explanations/one/llm")
    file = of_coder("one")
    entry = file.read_text().partition("  explain@llm:\n")[2].partition("  explain@pattern:\n")[0]
    file.write_text(f"{file.read_text()}  explain-llm:\n{entry}")
    assert Project.here().lock.makers(out)[-1] == "pipelines/one/dvc.yaml:explain-llm"
    assert Project.here().maker(out) == "pipelines/one/dvc.yaml:explain@llm"


def test_all_of_real_lock_files_is_read(project: Path) -> None:
    lock = Lock.read()
    whole = {}
    for file, before in ((LOCK, ""), *((of_coder(c), f"pipelines/{c}/dvc.yaml:") for c in ("one", "two"))):
        stages = YAML(typ="safe", pure=True).load(file.read_text())["stages"]
        whole |= {f"{before}{name}": value for name, value in stages.items()}
    assert list(lock) == list(whole)
    for name, value in whole.items():
        assert [entry.path for entry in lock[name].deps] == [entry["path"] for entry in value["deps"]]
        assert [entry.md5 for entry in lock[name].outs] == [entry["md5"] for entry in value["outs"]]
        assert lock[name].params == value.get("params", {})


@pytest.mark.parametrize(
    "entry",
    [
        "deps: [{}]",
        "cmd: 3",
        "cmd: a\n    outs: 5",
        "cmd: a\n    params: [1]",
        "deps: []",
        "cmd: a\n    deps:",
        "cmd: a\n    dep: []",
    ],
)
def test_a_damaged_entry_is_named_with_its_file(entry: str, folder: Path) -> None:
    write(f"schema: '2.0'\nstages:\n  explain@llm:\n    {entry}\n")
    with pytest.raises(GlossaError) as raised:
        Lock.read()
    assert str(raised.value) == (
        "expected stages in pipelines/one/dvc.lock, but it is damaged (the entry of explain@llm is cut short or is none); run glossa wire, "
        "which restores it"
    )


def test_a_hash_that_is_no_text_is_damage_that_dvc_takes(folder: Path) -> None:
    write(CODER + "      hash: md5\n      md5: 1234\n".replace("      hash: md5\n", "    - path: x\n      hash: md5\n"))
    lock = Lock.read()
    with pytest.raises(
        GlossaError, match=r"^pipelines/one/dvc.lock: the entry of score@llm-detection is damaged .* git$"
    ):
        lock["pipelines/one/dvc.yaml:score@llm-detection"]
    assert lock["tokenize"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"stages:\n  one:\n    cmd: [\n", "at line 4"),
        (b"stages:\n  one: {cmd: a}\n  one: {cmd: b}\n", "duplicate key"),
        (b"schema: '2.0'\nstages: 3\n", "does not map the names"),
        (b"[1, 2]\n", "does not say that its schema is 2.0"),
        (b"schema: '2.0'\nstages:\n  1: {}\n", "does not map the names"),
        (b"stages: \xff\xfe\n", "can't decode"),
        (b"<<<<<<< HEAD\nstages: {}\n=======\n", ""),
    ],
)
def test_a_damaged_file_is_named(content: bytes, why: str, folder: Path) -> None:
    of_coder("one").write_bytes(content)
    with pytest.raises(GlossaError) as raised:
        Lock.read()
    said = str(raised.value)
    assert said.startswith("expected stages in pipelines/one/dvc.lock, but it is damaged (")
    assert said.endswith("); run glossa wire, which restores it")
    assert why in said
    assert "\n" not in said


def test_no_lock_and_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GlossaError, match="there is no such file; run dvc repro"):
        Lock.read()
    LOCK.write_text("schema: '2.0'\n")
    with pytest.raises(GlossaError, match="expected stages in"):
        Lock.read()
