from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stages.provenance import files, git
from stages.provenance.project import Project


def run(*arguments: str) -> None:
    who = ["-c", "user.name=A Name", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def test_what_git_knows_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("init")
    Path("a").write_text("1")
    assert (git.head(), git.last_change("a"), git.last_author("a"), git.is_as_committed("a")) == (
        None,
        None,
        None,
        None,
    )
    run("add", "a")
    run("commit", "-m", "first")
    first = git.head()
    assert first
    assert git.last_change("a").split()[0] == first  # type: ignore[union-attr]
    assert git.last_author("a") == "A Name"
    assert git.is_as_committed("a") is True
    assert git.is_as_committed("b") is None
    Path("b").write_text("1")
    run("add", "b")
    run("commit", "-m", "second")
    assert git.last_change("a").split()[0] == first  # type: ignore[union-attr]
    Path("a").write_text("2")
    assert git.is_as_committed("a") is False


def test_a_lock_counts_when_it_is_as_committed(project: Path) -> None:
    def found() -> tuple[int, list[str]]:
        check = next(files.checks(Project.here()))
        assert not check.failed
        return check.checked, list(check.unknown)

    before, why = found()
    assert why == ["no commit has one to compare with"]
    run("init")
    run("add", "dvc.lock")
    run("commit", "-m", "run")
    assert found() == (before + 1, [])
    Path("dvc.lock").write_text(Path("dvc.lock").read_text() + "\n")
    assert found() == (before, ["is not as committed; commit it after dvc repro, so that somebody vouches for it"])
