from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from stages import params
from stages.cli import main
from tests.provenance.conftest import finished, project

__all__ = ["finished", "project"]


def test_a_folder_with_something_in_it_is_left_alone(project: Path) -> None:
    result = CliRunner().invoke(main, ["export", "ro-crate", "texts"])
    assert result.exit_code == 1
    assert "expected a new or an empty folder at texts, but there is something; name another" in result.stderr
    assert len(list(Path("texts").iterdir())) == 30


@pytest.mark.parametrize(
    "words", [("export", "csv"), ("batch", "export", "score", "one", "llm", "detection", "--out"), ("audit", "--html")]
)
def test_where_nothing_can_be_written_is_said_in_a_sentence_and_before_the_work(
    project: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(params, "load", lambda: pytest.fail("work was begun"))
    Path("file").touch()
    for place in ("file/out", "file/out/below", "/proc/out"):
        result = CliRunner().invoke(main, [*words, place])
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.count("\n") == 1
        assert f"at {place}, but can't write there: " in result.stderr


def test_an_unknown_format_is_told_with_those_there_are(project: Path) -> None:
    result = CliRunner().invoke(main, ["export", "ro-cart", "out"])
    assert result.exit_code == 2
    assert "'ro-crate'" in result.stderr


def test_nothing_is_left_of_an_export_that_fails(project: Path) -> None:
    pytest.importorskip("rocrate")
    Path("dvc.lock").unlink()
    result = CliRunner().invoke(main, ["export", "ro-crate", "out"])
    assert result.exit_code == 1
    assert "run dvc repro" in result.stderr
    assert not list(Path().glob("*out*"))


def test_a_coder_or_explainer_that_is_not_there_is_told_with_the_nearest(project: Path) -> None:
    for option, known in (("--coder", "coders"), ("--explainer", "explainers")):
        name = next(iter(getattr(params.load(), known)))
        result = CliRunner().invoke(main, ["export", "csv", "out", option, f"{name}x"])
        assert result.exit_code == 1
        assert f"params.yaml has no {option[2:]} {name}x" in result.stderr
        assert name in result.stderr.split("; ")[1]
    assert not list(Path().glob("*out*"))
