from __future__ import annotations

from pathlib import Path

import pytest

from tests.rating.answered import furnish_rated


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in which all before the report has run; latents 2 and 7 of each coder are kept."""
    monkeypatch.chdir(tmp_path)
    furnish_rated(tmp_path)
    return tmp_path
