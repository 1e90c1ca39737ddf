from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import pytest

from stages import params
from stages.results import reading
from tests.results.furnished import furnish


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every stage but the report has run; to be read only."""
    folder = tmp_path_factory.mktemp("furnished")
    with chdir(folder):
        furnish(folder)
    return folder


@pytest.fixture
def found(furnished: Path, monkeypatch: pytest.MonkeyPatch) -> reading.Results:
    """What is read in the furnished folder, which is the current one."""
    monkeypatch.chdir(furnished)
    return reading.read(params.load())
