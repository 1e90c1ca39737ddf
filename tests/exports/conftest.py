from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from stages.cli import main
from tests.dataset.conftest import shared
from tests.results.conftest import found, furnished

__all__ = ["found", "furnished", "shared"]


@pytest.fixture
def export(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Runs ``glossa export FORMAT`` where everything has run, and returns the folder."""
    monkeypatch.chdir(shared)

    def run(kind: str, *options: str) -> Path:
        folder = tmp_path / kind
        result = CliRunner().invoke(main, ["export", kind, str(folder), *options])
        assert result.exit_code == 0, result.output
        assert result.output.startswith(f"export {kind}: ")
        return folder

    return run
