import json
import re
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from stages import llm, scorers
from stages.examples.marks import CLOSE, OPEN
from stages.examples.table import LatentExamples, Windows
from stages.llm.request import Answer, Request
from stages.scorers import Context, Item
from stages.scorers.intruder import NO_ANSWER, NO_TRIAL
from stages.scorers.table import OWN
from tests.scorers import planted

MODEL = {"provider": "pattern"}


class Judge:
    """Gives the answers that it was made with, over and over, and keeps what it was asked."""

    def __init__(self, *answers: str | None):
        self.answers, self.asked = answers, list[Request]()

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for number, request in enumerate(requests):
            self.asked.append(request)
            yield Answer(self.answers[number % len(self.answers)], key=f"call {number}")


def score(*latents: LatentExamples, **options: object) -> scorers.Scored:
    scorer = scorers.load("x", {"kind": "intruder", "model": MODEL, **options})
    return scorer.score([Item(latent, "", OWN) for latent in latents], Context(planted.vocabulary(), 0))


def examples(request: Request) -> dict[str, str]:
    found = re.findall(r'^([a-e]): (".*")$', request.messages[-1].content, re.MULTILINE)
    return {letter: json.loads(text) for letter, text in found}


def test_four_windows_of_one_decile_and_a_random_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge('{"intruder": "c"}')
    monkeypatch.setattr(llm, "load", lambda key, entry: judge)
    latent = planted.latent(7, fires_on=1, n=80)
    found = score(latent, trials=2)
    assert len(judge.asked) == 20
    assert {tuple(request.schema["properties"]["intruder"]["enum"]) for request in judge.asked if request.schema} == {
        tuple("abcde")
    }
    rows = found.verdicts.to_pylist()
    assert len({row["window"] for row in rows}) == len(rows) == 100, "no window is shown twice"
    decile_of = dict(zip(latent.test.starts.tolist(), latent.test.deciles.tolist(), strict=True))
    for call in {row["request"] for row in rows}:
        trial = [row for row in rows if row["request"] == call]
        assert [row["active"] for row in trial].count(True) == 4
        (decile,) = {row["decile"] for row in trial}
        assert all(decile_of[row["window"]] == decile for row in trial if row["active"])
        assert [row["predicted"] for row in trial].count(False) == 1
        (intruder,) = (row for row in trial if not row["active"])
        assert (intruder["kind"], intruder["role"]) == ("random", "negative")
    right = sum(row["predicted"] is False for row in rows if not row["active"])
    (scored,) = found.scores.to_pylist()
    assert (scored["score"], scored["n"], scored["unscored"]) == (right / 20, 20, 0)
    assert found.metric.chance == 0.2
    assert found.metric.name == "accuracy"
    of = {row["subset"]: row["value"] for row in found.measures.to_pylist()}
    assert np.mean([of[f"decile {decile}"] for decile in range(1, 11)]) == pytest.approx(right / 20)


def test_the_letter_of_the_intruder_and_its_marks_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge('{"intruder": "a"}')
    monkeypatch.setattr(llm, "load", lambda key, entry: judge)
    score(*(planted.latent(number, fires_on=1, n=50) for number in range(60)))
    letters, columns = [], {True: list[int](), False: list[int]()}
    for request in judge.asked:
        for letter, text in examples(request).items():
            assert text.count(OPEN) == text.count(CLOSE) == 1
            is_intruder = f"{OPEN} cat{CLOSE}" not in text
            columns[is_intruder].append(len(text[: text.index(OPEN)].split()))
            letters += [letter] * is_intruder
    assert len(letters) == 600
    shares = np.bincount([ord(letter) - ord("a") for letter in letters], minlength=5) / 600
    assert np.abs(shares - 0.2).max() < 0.05
    true, false = (np.bincount(found, minlength=planted.SIZE) / len(found) for found in columns.values())
    assert np.abs(true - false).max() < 0.05


def test_without_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge('{"intruder": "a"}')
    monkeypatch.setattr(llm, "load", lambda key, entry: judge)
    score(planted.latent(7, fires_on=1, n=50), marked=False)
    assert all(OPEN not in text for request in judge.asked for text in examples(request).values())


def test_the_pattern_judge_finds_what_shares_no_marked_word() -> None:
    assert score(planted.latent(7, fires_on=1, n=50)).scores["score"].to_pylist() == [1.0]


def test_a_latent_that_fires_on_anything_is_at_chance() -> None:
    """The windows in which it fires are like those in which it does not."""
    latents = []
    for number in range(40):
        test, negative = planted.windows(40, None, 0, number), planted.windows(20, None, 100, 1000 + number)
        activations = np.zeros((40, planted.SIZE), np.float32)
        activations[np.arange(40), np.random.default_rng(number).integers(planted.SIZE, size=40)] = 1
        firing = Windows(
            test.starts, np.repeat(np.arange(1, 11, dtype=np.int8), 4), test.tokens, activations, [None] * 40
        )
        latents.append(LatentExamples(number, {}, firing, firing, negative))
    values = score(*latents).scores["score"].to_numpy()
    assert values.mean() == pytest.approx(0.2, abs=0.05)


def test_what_cannot_be_read_is_unscored_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["The third.", '{"intruder": "f"}', '{"intruder": true}', None, "[]"]
    monkeypatch.setattr(llm, "load", lambda key, entry: Judge(*answers))
    found = score(planted.latent(7, fires_on=1, n=50))
    (row,) = found.scores.to_pylist()
    assert (row["score"], row["n"], row["unscored"], row["reason"]) == (None, 0, 10, NO_ANSWER)
    assert set(found.verdicts["reason"].to_pylist()) == {
        "the answer is no JSON",
        "the answer names none of the examples",
        "no answer",
    }


def test_without_company_or_a_random_negative_there_is_no_trial() -> None:
    few, other = planted.latent(1, fires_on=1, n=20), planted.latent(2, fires_on=1, n=50)
    other.negative.kinds[:] = ["surface"] * 50
    for row in score(few, other).scores.to_pylist():
        assert (row["score"], row["n"], row["unscored"], row["reason"]) == (None, 0, 0, NO_TRIAL)
