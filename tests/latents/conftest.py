from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def tokenized(workplace: Path, finished_workplace: Path) -> Path:
    """The working folder after tokenize, where one coder is cached at a time."""
    shutil.copytree(finished_workplace / "data/tokens", workplace / "data/tokens")
    return workplace


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    return tmp_path / "home/stores"
