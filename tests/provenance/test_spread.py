"""Spread over processes, an audit finds the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from stages import paths
from stages.errors import GlossaError
from stages.provenance import spread
from stages.provenance.audit import audit
from stages.provenance.project import Project
from stages.provenance.spread import here, over_processes
from tests.provenance.tampering import Rows, edit


def told(project: Project) -> list[dict[str, Any]]:
    return [check.to_dict() for check in audit(project)]


def name_of(project: Project, item: int) -> tuple[int, bool, list[str], int]:
    return project.sample, project.full, list(project.p.coders), item


def die(project: Project, item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_is_found_does_not_depend_on_the_processes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(rows: Rows) -> None:
        for row in rows[::3]:
            row["activations"] = row["activations"] and [value + 1 for value in row["activations"]]

    edit(paths.examples("two") / "windows.parquet", change)
    edit(paths.explanations("one", "llm") / "explanations.parquet", lambda rows: rows[1:])
    alone = told(Project.here(full=True))
    monkeypatch.setenv("GLOSSA_WORKERS", "2")
    monkeypatch.setattr(spread, "PAYS", 1)
    spread_out = told(Project.here(full=True))
    for found in (alone, spread_out):
        found[-1].pop("failures")  # the first of a part of the rows are not the first of all
    assert spread_out == alone
    failed = {check["name"] for check in alone if check["failed"]}
    assert {"explanations", "activations", "prompts", "windows"} <= failed


def test_processes_look_at_the_same_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOSSA_WORKERS", "2")
    monkeypatch.setattr(spread, "PAYS", 1)
    whole = Project.here(sample=7, full=True)
    with over_processes(whole) as found:
        assert found.processes == 2
        due = [(7, True, ["one", "two"], item) for item in range(3)]
        assert list(found.map(name_of, range(3))) == list(here(whole).map(name_of, range(3))) == due
    with (
        pytest.raises(GlossaError, match=r"2 processes of the audit .* set workers: 1"),
        over_processes(whole) as found,
    ):
        list(found.map(die, range(2)))


def test_little_work_is_done_here(project: Path) -> None:
    with over_processes(Project.here()) as found:
        assert found.processes == 1
