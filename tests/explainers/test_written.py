"""Explanations that people wrote: whose they are, and whether a score of theirs is held out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stages import explainers, params, paths
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.explainers import written
from stages.explainers.table import Explanation
from tests.rating.answered import HASHES, furnish_rated, row, write

ENTRY = {"kind": "imported", "path": "w.jsonl"}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latents 2 and 7 of 10 are kept."""
    monkeypatch.chdir(tmp_path)
    furnish_rated(tmp_path)


def found(*rows: dict[str, Any], coder: str = "one", **options: Any) -> tuple[list[Explanation], dict[str, Any]]:
    """The explanations of both latents, and what the meta says."""
    write(Path("w.jsonl"), *rows)
    unit = explainers.load("hand", {**ENTRY, **options})
    sample, p = Examples.open(paths.examples(coder)), params.load()
    told = unit.facts(p, coder, sample).get("imported", {})
    return list(unit.explain(unit.prepare(sample, p, coder), None)), told


def test_what_was_written_from_the_present_windows_is_held_out() -> None:
    (first, second), told = found(row(2, " Cats, \n mostly", by="Ada"), row(9, "unsampled", by="Bob"))
    assert (first.text, first.reason) == ("Cats, mostly", None)
    evidence = first.evidence
    assert evidence["held_out"] is True
    assert evidence["made_by"] == "hand-written by Ada, from the train windows"
    assert (evidence["format"], evidence["file"], evidence["windows"]) == ("glossa", "w.jsonl", 20)
    assert (second.text, second.reason) == (None, "w.jsonl has none of it")
    assert {name: told[name] for name in ("explanations", "not_sampled", "held_out")} == {
        "explanations": 2,
        "not_sampled": 1,
        "held_out": 1,
    }
    assert told["made_by"] == "hand-written by Ada and Bob, from the train windows"


def test_of_other_windows_it_is_used_but_not_held_out() -> None:
    (first, second), told = found(row(2, "Cats", windows_sha256="0" * 64), row(7, "Dogs", windows=2))
    assert first.text == "Cats"
    assert first.evidence["held_out"] is False
    assert first.evidence["not_held_out"] == written.OTHER_WINDOWS
    assert second.evidence["held_out"] is True
    assert told["held_out"] == 1
    assert told["made_by"] == "hand-written, from the train windows"


def test_of_another_coder_it_is_left_out_with_the_reason() -> None:
    (first, second), told = found(row(2, "Cats", coder_sha256="9" * 64), row(7, "Dogs"), row(7, "Cows", coder="two"))
    assert first.text is None
    assert first.reason == "what w.jsonl has of it is of another coder, which had this one's name"
    assert second.text == "Dogs"
    assert told["explanations"] == 1
    both, told = found(row(2, "Cats"), coder="two")
    assert {one.reason for one in both} == {"none were imported of this coder"}
    assert told == {}
    both, _ = found(row(2, "Cats", coder="before", coder_sha256=HASHES["two"]), coder="two")
    assert both[0].text == "Cats"


def test_the_last_word_of_an_author_counts_and_of_two_one_is_chosen() -> None:
    rows = [row(2, "Cats", by="Ada"), row(2, "Cats and dogs", by="Ada"), row(2, "Cows", by="Bob")]
    assert found(*rows[:2])[0][0].text == "Cats and dogs"
    with pytest.raises(
        GlossaError, match=r"one explanation of latent 2 of one in w.jsonl, found two, by Ada and by Bob; choose"
    ):
        found(*rows)
    assert found(*rows, by="Bob")[0][0].text == "Cows"
    assert found(*rows, by="Eve")[0][0].reason == "none were imported of this coder"


def test_rows_of_other_coders_change_nothing() -> None:
    before = found(row(2, "Cats"))
    assert found(row(2, "Cats"), row(2, "Cows", coder="two"), row(7, "x", coder="three")) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"coders": {"one": "x"}}, "should have no coders for the format glossa, whose rows say it themselves"),
        ({"made_by": "me"}, "should have no made_by for the format glossa"),
        ({"format": "csv", "coders": {"one": "x"}, "by": "me"}, "should have no by for the format csv, whose authors"),
        ({"format": "csv"}, "should say under coders whose the explanations are"),
        ({"path": "nowhere"}, "expected a file of glossa/written at nowhere"),
    ],
)
def test_what_can_not_be_meant_is_one_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(GlossaError) as error:
        found(row(2, "Cats"), **options)
    assert re.search(said, str(error.value))
    assert "\n" not in str(error.value)


def test_who_made_the_explanations_of_others_may_be_said() -> None:
    Path("theirs").mkdir()
    Path("theirs/x").write_text(json.dumps({"2": "Cats"}))
    options = {"format": "json", "path": "theirs", "coders": {"one": "x"}}
    (first, _), told = found(made_by="GPT-4o from top windows", **options)
    assert first.evidence["made_by"] == told["made_by"] == "GPT-4o from top windows"
    assert told["held_out"] == 0
    (first, _), told = found(**options)
    assert "made_by" not in first.evidence
    assert (told["made_by"], told["held_out"]) == ("not known", 0)
