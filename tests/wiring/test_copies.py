"""A lock file that DVC could not finish writing, or git could not merge, comes back as it was before."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import YAMLFileCorruptedError, parse_yaml
from dvc.utils.strictyaml import YAMLValidationError
from voluptuous import MultipleInvalid

from stages.errors import GlossaError
from stages.machine import runtime
from stages.wiring import copies, locks
from tests.clones import Clone

TEXT = """\
schema: '2.0'
stages:
  explain@llm:
    cmd: glossa explain one llm
    deps:
    - path: data/examples/one
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
      size: 530573
      nfiles: 5
    params:
      fingerprints.json:
        coders.one.explain.llm: code 3b121dc3e1adc781 params 2ef074356173d079
    outs:
    - path: data/explanations/one/llm
      hash: md5
      md5: 00000000000000000000000000000012.dir
      size: 12
      nfiles: 2
"""
LONGER = TEXT + TEXT.partition("stages:\n")[2].replace("llm", "pattern")
CONFLICT = LONGER.replace("  explain@pattern:\n", "<<<<<<< HEAD\n  explain@pattern:\n=======\n>>>>>>> other\n")
ONE = Path("pipelines/one/dvc.lock")


def dvc_takes(text: str) -> bool:
    try:
        COMPILED_LOCKFILE_SCHEMA(parse_yaml(text, "dvc.lock"))
    except (YAMLFileCorruptedError, MultipleInvalid):
        return False
    return True


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, a git repository with a committed lock file of a coder, and a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOSSA_HOME", str(tmp_path / "home"))
    ONE.parent.mkdir(parents=True)
    ONE.write_text(TEXT)
    git("init", "-q")
    git("add", str(ONE))
    commit("2020-01-01T00:00:00+00:00")
    return tmp_path


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def commit(date: str) -> None:
    environment = {**os.environ, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    own = ("-c", "user.name=n", "-c", "user.email=e@x")
    subprocess.run(["git", *own, "commit", "-qam", "lock"], check=True, capture_output=True, env=environment)


def begin(monkeypatch: pytest.MonkeyPatch, stage: str = "pipelines/one/dvc.yaml:explain@pattern") -> None:
    monkeypatch.setenv("DVC_STAGE", stage)
    copies.keep()
    monkeypatch.delenv("DVC_STAGE")


def kept(home: str = "home") -> list[str]:
    return sorted(file.read_text() for file in Path(home).glob("locks/*/*"))


def test_what_dvc_refuses_is_damaged_wherever_it_was_cut() -> None:
    for end in range(len(TEXT) + 1):
        cut = TEXT[:end]
        if not dvc_takes(cut):
            with pytest.raises(ValueError, match=r"^[^\n]+$"):
                locks.stages_of(cut.encode())
    assert locks.stages_of(TEXT.encode()).keys() == {"explain@llm"}
    assert dvc_takes(TEXT)


@pytest.mark.parametrize("text", ["", " \n", "schema: '2.0'\nstages:\n", CONFLICT, "\0" * 20, "[" * 5000])
def test_damage_is_told_in_one_sentence_with_what_to_do(text: str, folder: Path) -> None:
    ONE.write_text(text)
    with pytest.raises(GlossaError) as raised:
        locks.read(ONE)
    said = str(raised.value)
    assert said.startswith(f"expected stages in {ONE}, but it is damaged (")
    assert said.endswith("); run glossa wire, which restores it")
    assert "\n" not in said
    assert not text.strip("\0[") or not dvc_takes(text)


def test_a_copy_is_taken_when_dvc_begins_a_stage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies.keep()  # nobody's stage
    assert kept() == []
    begin(monkeypatch)
    begin(monkeypatch)
    assert kept() == [TEXT]
    for n in range(5):
        ONE.write_text(TEXT + f"# {n}\n")
        begin(monkeypatch)
    assert kept() == [f"{TEXT}# {n}\n" for n in (2, 3, 4)]
    begin(monkeypatch, "tokenize")  # dvc.lock, which is not there yet
    assert len(kept()) == 3


def test_no_copy_is_taken_of_a_workspace_of_an_experiment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path(".dvc/tmp/exps/tmp1")
    (place / ONE.parent).mkdir(parents=True)
    (place / ONE).write_text(TEXT)
    monkeypatch.chdir(place)
    begin(monkeypatch)
    assert kept("../../../../home") == []


def test_a_copy_that_can_not_be_taken_ends_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.home().write_text("a file")
    begin(monkeypatch)


@pytest.mark.parametrize("end", [0, 1, 14, 30, 200, len(LONGER) - 5])
def test_the_newest_sound_copy_is_restored(end: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(monkeypatch)
    ONE.write_text(LONGER)
    begin(monkeypatch, "pipelines/one/dvc.yaml:score@llm-detection")
    ONE.write_text(LONGER[:end] + "  x")
    begin(monkeypatch, "pipelines/one/dvc.yaml:score@pattern-detection")  # a stage run by hand copies what is no use
    (said,) = copies.restore()
    assert ONE.read_text() == LONGER
    assert said.startswith(f"expected stages in {ONE}, but it is damaged (")
    assert "; restored it as it was when score@llm-detection began at 2" in said
    assert said.endswith(": dvc repro runs what ended since, and nothing else")
    assert copies.restore() == []


def test_what_git_has_is_restored_where_it_is_newer_or_all_there_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ONE.write_text("")
    (said,) = copies.restore()
    assert ONE.read_text() == TEXT
    assert "; restored it as commit " in said
    begin(monkeypatch)
    ONE.write_text(LONGER)
    commit("2090-01-01T00:00:00+00:00")
    ONE.write_text("")
    copies.restore()
    assert ONE.read_text() == LONGER


def test_a_merge_that_git_could_not_finish_is_undone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ONE.write_text(LONGER)
    begin(monkeypatch)  # on another branch
    ONE.write_text(CONFLICT)
    (said,) = copies.restore()
    assert ONE.read_text() == TEXT
    assert "a merge that git could not finish left its marks in it" in said


def test_without_any_copy_it_is_said_what_is_left_to_do(folder: Path) -> None:
    ONE.write_text("x")
    commit("2020-01-02T00:00:00+00:00")
    with pytest.raises(
        GlossaError, match=r"neither a copy nor a commit of it that is sound; delete it and run dvc repro"
    ):
        copies.restore()
    assert ONE.read_text() == "x"


def test_wire_restores_what_dvc_then_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Clone(tmp_path / "clone")
    monkeypatch.chdir(clone.folder)
    monkeypatch.delenv("GLOSSA_HOME", raising=False)
    git("init", "-q")
    clone.wire()
    sound = TEXT.replace("explain@llm", "explain@pattern").replace("llm", "pattern")
    ONE.write_text(sound)
    monkeypatch.setenv("DVC_STAGE", "pipelines/one/dvc.yaml:explain@pattern")
    clone.glossa("explain", "one", "nobody")  # fails, but has begun
    monkeypatch.delenv("DVC_STAGE")
    damaged = sound.partition("      fingerprints.json")[0]  # params: of nothing
    ONE.write_text(damaged)
    with pytest.raises(YAMLValidationError):
        Repo(str(clone.folder)).status()
    Path("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    for command in (["wire", "--check"], ["audit"], ["estimate"]):
        result = clone.glossa(*command)
        assert result.exit_code == 1
        assert result.output.startswith(f"Error: expected stages in {ONE}, but it is damaged ("), (
            command,
            result.output,
        )
        assert result.output.endswith("; run glossa wire, which restores it\n")
        assert ONE.read_text() == damaged
    assert f"wire: expected stages in {ONE}, but it is damaged" in clone.wire()
    assert ONE.read_text() == sound
    status = Repo(str(clone.folder)).status()
    assert "pipelines/one/dvc.yaml:explain@pattern" in status
