from __future__ import annotations

import re
import shutil
import unicodedata
from pathlib import Path
from unittest import mock

import click
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from stages import outputs, params, paths
from stages.cli import main
from stages.commands import shading, show
from stages.results import reading
from stages.scorers import table as scores_table
from tests.results import furnished as f
from tests.results.furnished import furnish


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["show", *arguments])


def test_a_latent_by_hand() -> None:
    result = _run("one", "2")
    assert result.exit_code == 0, result.output
    assert (
        result.output
        == """\
one, latent 2  layers.0
fires on 12 tokens (18.8 %) in 6 windows, mean activation 2.5, maximum 8

Explanation by pattern
  the word cat
  detection    0.80 balanced accuracy, 95 % interval 0.70 to 0.90, floor 0.50, 1 of 10 examples unscored
               natural F1 0.08; by negatives: random 0.80, surface 0.40
  embedding    0.60 AUROC, 95 % interval 0.50 to 0.70, floor 0.50, 1 of 10 examples unscored
               natural AUPRC 0.06

Explanation by llm
  </script><img src=x onerror=alert(1)> "quoted" & 'so' ⟨U+202E⟩over⟨U+202C⟩ ⟨U+001B⟩[31mred
  detection    0.80 balanced accuracy, 95 % interval 0.70 to 0.90, floor 0.50, 1 of 10 examples unscored
               natural F1 0.08; by negatives: random 0.80, surface 0.40
  embedding    0.60 AUROC, 95 % interval 0.50 to 0.70, floor 0.50, 1 of 10 examples unscored
               natural AUPRC 0.06

Whatever its explanation
  intruder     0.75 accuracy, 95 % interval 0.50 to 1.00, chance 0.20

Output tokens
  promoted     ' cat' '</script>'
  suppressed   '⟨U+001B⟩[2J'

Examples
  max 8, decile 1, train, first
  « cat»</script> a a
  max 7, decile 1, test, first
   a«↵»«⟨U+202E⟩»<end>
  max 0.25, decile 3, test, second <b>
  « a» a a a
"""
    )


def test_parts_of_characters_among_output_tokens_are_spelt() -> None:
    facts = {"top_tokens": [f.CAT, f.E1], "bottom_tokens": [f.E2]}
    found = [line.split() for line in map(click.unstyle, show._output_tokens(facts, f.vocabulary()))]
    assert found[2:] == [["promoted", "'", "cat'", r"'\xc3'"], ["suppressed", r"'\xa9'"]]


def test_what_is_missing_is_said() -> None:
    output = _run("one", "7").output
    assert "Explanation by pattern\n  none: no rule fits\n" in output
    assert "  dogs\n  detection    unscored: no verdict\n  embedding    outside this scorer's sample\n" in output


def test_before_all_has_run_what_is_there_is_shown() -> None:
    whole = _run("one", "2").output
    for folder in (paths.scores("one", "pattern", "embedding"), paths.scores("one", params.LATENT, "intruder")):
        shutil.rmtree(folder)
    shutil.rmtree(paths.explanations("one", "llm"))
    found = _run("one", "2")
    assert found.exit_code == 0, found.output
    assert "floor 0.50, 1 of 10" in found.output
    assert "  embedding    - not run yet\n\nExplanation by llm\n  - not run yet\n\nWhatever" in found.output
    assert "  intruder     - not run yet\n\nOutput tokens\n" in found.output
    assert found.output.split("Examples")[1] == whole.split("Examples")[1]


def test_what_is_damaged_is_a_mistake_still() -> None:
    (paths.scores("one", "pattern", "embedding") / "scores.parquet").write_bytes(b"no table")
    assert "embedding/scores.parquet" in _run("one", "2").output
    assert _run("one", "2").exit_code == 1


def test_as_many_examples_as_asked_for() -> None:
    output = _run("one", "2", "--examples", "6").output
    assert len(re.findall(r"^  max ", output, re.MULTILINE)) == 6
    assert "⟨U+001B⟩[2J" in output.split("Examples")[1]


def test_a_terminal_gets_shades_and_no_control_of_the_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(shading, "is_terminal", lambda: True)
    output = _run("one", "2", "--examples", "6").output
    assert click.style(" cat", fg=16, bg=202) in output
    assert click.style(" a", fg=16, bg=223) in output
    assert "«" not in output
    plain = click.unstyle(output)
    assert max(map(len, plain.splitlines())) <= 80
    assert not {unicodedata.category(character) for character in plain.replace("\n", "")} & {"Cc", "Cf", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ono", "2"), "params.yaml has no coder ono; did you mean one?"),
        (("one", "10"), "the coder one has latents 0 to 9, but no 10"),
        (("one", "3"), "latent 3 of one was not sampled; of the 3 that were, the nearest are 2, 5, 7; "),
        (("one", "5"), "latent 5 of one was sampled but dropped: never fires"),
    ],
)
def test_mistakes_are_one_sentence(arguments: tuple[str, ...], message: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.splitlines()) == 1


def test_only_a_terminal_gets_colours_unless_its_user_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(shading.sys, "stdout", mock.Mock(isatty=lambda: False))
    assert not shading.is_terminal()
    monkeypatch.setattr(shading.sys, "stdout", mock.Mock(isatty=lambda: True))
    assert shading.is_terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not shading.is_terminal()


def test_no_other_latent_s_rows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    tables: list[str] = []

    def spied(path: Path, latent: int | None) -> pa.Table:
        found = original(path, latent)
        tables.append(path.name)
        assert set(found["latent"].to_pylist()) <= {7}
        return found

    original = outputs.read_rows
    for module in (reading, scores_table):
        monkeypatch.setattr(module, "read_rows", spied)
    assert _run("one", "7").exit_code == 0
    assert {"explanations.parquet", "scores.parquet", "measures.parquet"} == set(tables)
