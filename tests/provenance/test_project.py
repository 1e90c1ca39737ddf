"""What a project knows of its own files."""

from __future__ import annotations

import subprocess
from pathlib import Path

from stages.provenance import files
from stages.provenance.project import Project

NOTES = ["dvc.lock", "made.json", *(f"pipelines/{c}/{f}" for c in ("one", "two") for f in ("dvc.lock", "made.json"))]


def run(*arguments: str) -> None:
    who = ["-c", "user.name=A Name", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def test_every_lock_file_and_what_is_noted_beside_it_count_when_they_are_as_committed(project: Path) -> None:
    def found() -> tuple[int, dict[str, list[str]]]:
        check = next(files.checks(Project.here()))
        assert not check.failed
        return check.checked, check.unknown

    before, unknown = found()
    assert {why: sorted(items) for why, items in unknown.items()} == {"no commit has one to compare with": NOTES}
    run("init")
    run("add", *NOTES)
    run("commit", "-m", "run")
    assert found() == (before + len(NOTES), {})
    Path("pipelines/two/dvc.lock").write_text(Path("pipelines/two/dvc.lock").read_text() + "\n")
    why = "is not as committed; commit it after dvc repro, so that somebody vouches for it"
    assert found() == (before + len(NOTES) - 1, {why: ["pipelines/two/dvc.lock"]})
