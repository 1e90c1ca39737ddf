from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.provenance import small


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, subject_folder: Path, make_coder: Callable[..., Path]) -> Path:
    """A project that has run whole; to be copied."""
    return small.built(tmp_path_factory, subject_folder, make_coder)


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GLOSSA_HOME", str(folder / ".glossa"))
    return folder
