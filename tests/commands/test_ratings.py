from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stages.cli import main
from tests.rating.answered import furnish_rated, rating, row, write
from tests.results.furnished import HOSTILE


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish_rated(tmp_path)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ratings", *arguments])


def test_every_explainer_has_a_mean_and_raters_are_compared() -> None:
    ada = [rating(2, "the word cat", 2), rating(2, HOSTILE, 4), rating(7, "dogs", 3)]
    bob = [rating(2, "the word cat", 1), rating(7, "dogs", 3), rating(7, "gone", 3)]
    write(Path("ada"), *ada)
    write(Path("bob"), *bob)
    result = _run("ada", "bob")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[:3] == [
        "explainer  mean  95 % interval  latents  ratings",
        "llm        3.50   3.00 to 4.00        2        3",
        "pattern    1.50   1.50 to 1.50        1        2",
    ]
    assert "Ratings are 4 right, 3 mostly, 2 partly, 1 wrong; intervals are over latents." in lines
    (agreed,) = [line for line in lines if "alpha" in line]
    # Observed 2 of 1 and 2 at a distance of 1, expected 1, 1 and 2 ratings of 1, 2 and 3.
    assert agreed.startswith("2 raters, 2 explanations rated by several: Krippendorff's alpha 0.")
    assert agreed.endswith("two raters gave the same in 50 %.")
    assert lines[-1] == "1 left out: they are of explanations that nobody gives any more."


def test_one_rater_agrees_with_nobody() -> None:
    write(Path("ada"), rating(7, "dogs", 3))
    assert "alpha" not in _run("ada").output


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (list, "expected ratings in f, but there are none; rate some by glossa rate"),
        (
            lambda: [row(2, "a")],
            "expected a row of glossa/rated version 1 in line 1 of f, found glossa/written version 1",
        ),
        (lambda: [rating(2, "a", 7)], "expected a rating from 1 to 4 in line 1 of f, found 7"),
    ],
)
def test_mistakes_are_one_sentence(rows: Callable[[], list[dict]], said: str) -> None:
    write(Path("f"), *rows())
    result = _run("f")
    assert result.exit_code == 1
    assert said in result.output
    assert len(result.output.splitlines()) == 1
