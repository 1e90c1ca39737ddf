from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from stages.cli import COMMANDS, STAGES, main
from stages.errors import GlossaError
from stages.wiring import running
from tests.clones import ROOT


@pytest.fixture
def clone(workplace: Path) -> Path:
    """A project that brings its own code, the same that runs."""
    shutil.copytree(ROOT / "stages", workplace / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    return workplace / "stages"


def test_a_project_without_code_is_run_by_what_is_installed(workplace: Path) -> None:
    running.check()


def test_a_copy_with_the_same_content_is_as_good(clone: Path) -> None:
    running.check()
    (clone / "__pycache__").mkdir()
    (clone / "__pycache__/cli.pyc").write_bytes(b"other")
    running.check()


@pytest.mark.parametrize("file", ["scorers/fuzzing.py", "scorers/fuzzing.md", "new.py"])
def test_other_code_than_runs_is_refused(clone: Path, file: str) -> None:
    with (clone / file).open("a") as opened:
        opened.write("# other\n")
    with pytest.raises(
        GlossaError,
        match=r"expected the code of this project, .*, to run, but it is .* that does, and they differ; run pip",
    ):
        running.check()
    before = sorted(Path().iterdir())
    for command in (*STAGES, *COMMANDS):
        result = CliRunner().invoke(main, [command])
        assert result.exit_code == 1, command
        assert result.output.startswith("Error: expected the code of this project")
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0
    assert sorted(Path().iterdir()) == before
