from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stages.wiring import git


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


def test_several_files_are_asked_about_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "a repository"
    (root / "project/deep").mkdir(parents=True)
    monkeypatch.chdir(root / "project")
    assert git.are_as_committed(["a"]) == {"a": None}
    for name in ("same", "other", "gone", "deep/é file"):
        Path(name).write_text("1")
    run("init")
    run("add", "--all")
    run("commit", "-m", "first")
    Path("other").write_text("2")
    Path("gone").unlink()
    Path("new").write_text("1")
    due = {"same": True, "other": False, "gone": False, "deep/é file": True, "new": None, "never": None}
    assert git.are_as_committed(due) == due
    assert git.are_as_committed([]) == {}


def test_what_changed_since_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project/stages").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    for name in ("stages/a.py", "stages/b.py", "other"):
        Path(name).write_text("1")
    run("init", "..")
    run("add", "--all")
    run("commit", "-m", "first")
    commit = git.head()
    assert commit
    assert git.changed_since(commit, "stages") == set()
    Path("stages/a.py").write_text("2")
    Path("stages/new.py").write_text("1")
    Path("other").write_text("2")
    assert git.changed_since(commit, "stages") == {"stages/a.py", "stages/new.py"}
    run("add", "--all")
    run("commit", "-m", "second")
    assert git.changed_since(commit, "stages") == {"stages/a.py", "stages/new.py"}
    assert git.content(commit, "stages/a.py") == b"1"
    assert git.content(commit, "stages/new.py") is None
    assert git.changed_since("0" * 40, "stages") is None
