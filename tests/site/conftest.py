from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stages import params
from stages.results import reading
from stages.results.reading import Results
from stages.site import write
from tests.results.conftest import found, furnished
from tests.site.judging import judge

__all__ = ["found", "furnished"]


@pytest.fixture(scope="session")
def judged(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The furnished folder with verdicts, and with transcripts of what language models were asked; to be read only."""
    folder = tmp_path_factory.mktemp("judged") / "project"
    shutil.copytree(furnished, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        judge()
    return folder


@pytest.fixture
def here(judged: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """What is read in the judged folder, which is the current one."""
    monkeypatch.chdir(judged)
    return reading.read(params.load())


@pytest.fixture(scope="session")
def report(judged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on the judged folder; to be read only."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(judged)
        p = params.load()
        write.write(folder, p, reading.read(p))
    return folder
