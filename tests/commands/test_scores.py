from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stages.cli import main
from tests.results.furnished import PARAMS, furnish


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["scores", *arguments])


def test_all_scores_with_intervals_and_floors() -> None:
    said = run()
    assert said.exit_code == 0, said.output
    assert "  two    pattern    0.900  0.800 to 1.000  0.500        1         1" in said.output.splitlines()


def test_of_some_coders_and_scorers() -> None:
    found = json.loads(run("--coder", "two", "--scorer", "embedding", "--scorer", "intruder", "--json").output)
    assert [(row["scorer"], row["coder"], row["explainer"]) for row in found] == [
        ("embedding", "two", "pattern"),
        ("embedding", "two", "llm"),
        ("intruder", "two", "latent"),
    ]


def test_names_that_are_not_there_are_told() -> None:
    assert "params.yaml has no coder tow; did you mean two?" in run("--coder", "tow").output
    assert "params.yaml has no scorer detektion; did you mean detection?" in run("--scorer", "detektion").output


def test_without_scorers_there_is_nothing_to_show() -> None:
    scorers = next(line for line in PARAMS.splitlines(keepends=True) if line.startswith("scorers:"))
    Path("params.yaml").write_text(PARAMS.replace(scorers, ""))
    assert (
        run().output == "Error: params.yaml: scorers should name at least one, found none; docs/scorers.md lists them\n"
    )
