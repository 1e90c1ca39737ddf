"""Judges that know nothing are named, and what they answer makes no score: by the real ``score`` command, and what reads its outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stages import llm, params, paths
from stages.cli import main
from stages.llm.forms.odd_one_out import NAME
from stages.llm.request import Answer, Request
from stages.params import LATENT
from stages.provenance.project import Project
from stages.provenance.scores import checks
from stages.results.doubts import doubts
from stages.scorers import table, trusted
from stages.scorers.trusted import Tally
from tests.scorers.on_disk import Latent, firing, furnish, silent

CAT = 1
LATENTS = {number: Latent(firing(CAT, 40, seed=number), silent(20, seed=100 + number)) for number in range(4)}
JUDGE = {"provider": "pattern"}
SCORERS = {"detection": {"kind": "detection", "model": JUDGE}, "intruder": {"kind": "intruder", "model": JUDGE}}
Say = Callable[[int, dict[str, Any]], str | None]


class Scripted:
    """Answers by a rule on the number of the request and its schema."""

    def __init__(self, say: Say, mass: float | None = None) -> None:
        self.say, self.mass = say, mass
        self.asked = 0

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for request in requests:
            self.asked += 1
            content = self.say(self.asked, request.schema or {})
            yield Answer(content, None if content else "the answer is no JSON", mass=self.mass)


def verdicts(rule: Callable[[int, int], bool]) -> Say:
    return lambda asked, schema: json.dumps({key: rule(asked, place) for place, key in enumerate(schema["required"])})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(LATENTS, {"llm": {number: f'Fires on "cat", as latent {number} does.' for number in LATENTS}}, SCORERS)


def score(monkeypatch: pytest.MonkeyPatch, judge: Scripted, scorer: str = "detection", explainer: str = "llm") -> str:
    monkeypatch.setattr(llm, "load", lambda key, entry: judge)
    result = CliRunner().invoke(main, ["score", "one", explainer, scorer])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("judge", "named"),
    [
        (lambda: Scripted(verdicts(lambda asked, place: True)), "the judge said yes to all 480 examples"),
        (lambda: Scripted(verdicts(lambda asked, place: False)), "the judge said no to all 480 examples"),
        (
            lambda: Scripted(verdicts(lambda asked, place: place == 0)),
            "the judge went by the place of an example: yes to 100% of those at a and 0% of those at b",
        ),
        (
            lambda: Scripted(verdicts(lambda asked, place: (asked + place) % 2 == 0), mass=0.0016),
            "in 96 of 96 answers the values that are allowed have less than 1% of the judge's probability",
        ),
    ],
)
def test_a_judge_that_knows_nothing_makes_no_score(
    judge: Callable[[], Scripted], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = score(monkeypatch, judge())
    assert f"no score, {named}" in said
    folder = paths.scores("one", "llm", "detection")
    scores, meta = table.read(folder)
    assert set(scores["score"].to_pylist()) == {None}
    assert all(named in reason for reason in scores["reason"].to_pylist())
    assert set(table.read_measures(folder)["value"].to_pylist()) == {None}
    assert len(table.read_verdicts(folder)) == 480  # what it said is kept
    own = meta["overall"]["own"]["balanced_accuracy"]["all"]
    assert (own["value"], own["n_latents"]) == (None, 0)
    (doubt,) = doubts(params.load())
    assert (doubt.coder, doubt.explainer) == ("one", "llm, detection")
    assert named in doubt.said


@pytest.mark.usefixtures("project")
def test_the_audit_finds_such_scores_as_they_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        score(patch, Scripted(verdicts(lambda asked, place: True)))
    found = {check.name: check for check in checks(Project.here())}
    assert found["scores"].failed == found["means"].failed == 0
    assert found["scores"].checked > 100


@pytest.mark.usefixtures("project")
def test_a_judge_of_intruders_that_goes_by_place_makes_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    said = score(monkeypatch, Scripted(lambda asked, schema: json.dumps({NAME: "b"})), "intruder", LATENT)
    assert "the judge went by the place of an example: yes to 100% of those at b and 0% of those at a" in said


@pytest.mark.usefixtures("project")
def test_one_that_answers_in_prose_is_not_asked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Scripted(lambda asked, schema: None)
    monkeypatch.setattr(llm, "load", lambda key, entry: judge)
    result = CliRunner().invoke(main, ["score", "one", "llm", "detection"])
    assert result.exit_code == 1
    assert "none of its first 20 can, 20 of them because the answer is no JSON" in result.output
    assert judge.asked < 30
    assert not paths.scores("one", "llm", "detection").exists()


@pytest.mark.usefixtures("project")
def test_one_that_often_answers_in_prose_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    right = verdicts(lambda asked, place: (asked * 7 + place * 3) % 5 < 2)
    said = score(monkeypatch, Scripted(lambda asked, schema: right(asked, schema) if asked % 3 == 0 else None))
    assert "64 of 96 answers could not be read" in said
    assert table.read(paths.scores("one", "llm", "detection"))[0]["score"].null_count == 0


@pytest.mark.usefixtures("project")
def test_a_judge_that_reads_is_not_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(main, ["score", "one", "llm", "detection"])
    assert "balanced accuracy 1.000" in result.output
    assert "judge" not in result.output
    assert list(doubts(params.load())) == []


def tally(yes: dict[str, int], n: int) -> dict[str, Any]:
    found = Tally()
    for place, count in yes.items():
        for number in range(n):
            found.verdict(place, number < count)
    return found.facts()


@pytest.mark.parametrize(
    ("yes", "void", "doubtful"),
    [
        ({"a": 25, "b": 25}, False, False),
        ({"a": 45, "b": 5}, True, True),
        ({"a": 35, "b": 10}, False, True),
        ({"a": 50, "b": 49}, False, True),
        ({"a": 49, "b": 48}, False, False),
        ({"a": 0, "b": 0}, True, True),
    ],
)
def test_the_rules_are_as_stated(yes: dict[str, int], void: bool, doubtful: bool) -> None:
    meta = tally(yes, 50)
    assert (trusted.void(meta) is not None, bool(trusted.doubts(meta))) == (void, doubtful)


def test_few_verdicts_say_nothing_of_a_judge() -> None:
    assert trusted.void(tally({"a": 49}, 49)) is None
    assert trusted.doubts({}) == []
