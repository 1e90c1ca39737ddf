from __future__ import annotations

import json
from typing import Any

import pytest

from stages import explainers, llm
from stages.errors import GlossaError
from stages.examples.table import Windows
from stages.explainers import best_of
from stages.explainers.table import Explanation
from stages.llm.request import Answer, Request
from tests.explainers.small import WRITER, Small, Writer, changed, small

JUDGE = {"provider": "pattern"}
CAT = small(
    ["the cat sat"],
    {" cat": 1.0},
    1.0,
    number=1,
    validation=["my cat sat", "one cat ran"],
    validation_negative=["my dog sat", "one sun ran"],
    test=["old cat hid"],
    negative=["old dog hid"],
)
WRONG, HALF, RIGHT = 'Fires on "dog".', 'Fires on "one".', 'Fires on "cat".'
# By hand, on the validation windows: the wrong one finds 0 of 2 and is wrong on 1 of 2: (0 + 1/2) / 2;
# the second finds 1 and is wrong on 1: (1/2 + 1/2) / 2; the right one is always right.
SCORES = {WRONG: 0.25, HALF: 0.5, RIGHT: 1.0}


def choose(
    monkeypatch: pytest.MonkeyPatch, said: list[str | Answer], *latents: Small, judge: Any = None, **options: Any
) -> tuple[list[Explanation], list[Request]]:
    """What is chosen when the candidates of every latent are ``said``, and what their writer was asked."""

    def answer(request: Request) -> str | Answer:
        one = said[request.sample]
        return one if isinstance(one, Answer) else json.dumps({"explanation": one})

    writer = Writer(answer)
    load = llm.load
    monkeypatch.setattr(llm, "load", lambda key, entry: (judge or load(key, entry)) if entry == JUDGE else writer)
    entry = {"kind": "best_of", "model": WRITER, "judge": JUDGE, "candidates": len(said), **options}
    unit = explainers.load("mine", entry)
    return list(unit.explain((small.latent for small in latents), latents[0].tokens)), writer.requests


def test_the_best_on_the_validation_windows_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,), asked = choose(monkeypatch, [WRONG, RIGHT, HALF, RIGHT], CAT)
    assert (found.latent, found.text, found.reason, found.request) == (1, RIGHT, None, "call 1")
    assert [one["score"] for one in found.evidence["candidates"]] == [0.25, 1.0, 0.5, 1.0]
    assert [one["text"] for one in found.evidence["candidates"]] == [WRONG, RIGHT, HALF, RIGHT]
    assert [request.sample for request in asked] == [0, 1, 2, 3]
    assert len({request.messages for request in asked}) == 1


def test_test_windows_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    other = changed(CAT, test=CAT.latent.negative, negative=CAT.latent.test)
    assert choose(monkeypatch, [WRONG, RIGHT], CAT) == choose(monkeypatch, [WRONG, RIGHT], other)


def test_what_is_no_explanation_is_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,), _ = choose(monkeypatch, [Answer(None, "the model refused", key="k"), HALF, "None"], CAT)
    assert found.text == HALF
    assert [one["reason"] for one in found.evidence["candidates"]] == [
        "the model refused",
        None,
        "the model gave an empty explanation",
    ]
    (found,), _ = choose(monkeypatch, [Answer(None, "the model refused", key="k"), "None"], CAT)
    assert (found.text, found.reason, found.request) == (None, "the model refused", "k")


class Silent:
    """A judge that answers nothing that can be read to some explanations."""

    def __init__(self, about: str):
        self.about = about
        self.requests: list[Request] = []

    def answer(self, requests: Any) -> Any:
        for request in requests:
            self.requests.append(request)
            text = request.messages[-1].content
            verdicts = {key: f'{key}: "' in text and "cat" in text for key in request.schema["required"]}
            yield Answer(None, "down", key="k") if self.about in text else Answer(json.dumps(verdicts))


def test_a_candidate_that_can_t_be_scored_comes_last_whatever_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,), _ = choose(monkeypatch, [RIGHT, WRONG], CAT, judge=Silent('on \\"cat'))
    assert [one["score"] for one in found.evidence["candidates"]] == [None, 0.5]
    assert found.text == WRONG


def test_the_same_text_is_judged_once_and_one_alone_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Silent("nothing")
    choose(monkeypatch, [HALF, RIGHT, HALF, RIGHT], CAT, judge=judge, examples_per_prompt=2)
    assert len(judge.requests) == 2 * 4 // 2
    (found,), _ = choose(monkeypatch, [HALF, HALF], CAT, judge=judge)
    assert len(judge.requests) == 4
    assert (found.text, [one["score"] for one in found.evidence["candidates"]]) == (HALF, [None, None])


def test_a_latent_without_validation_windows_gets_one_explanation(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = changed(CAT, latent=2, validation_negative=Windows.none())
    found, asked = choose(monkeypatch, [WRONG, RIGHT], bare, CAT)
    assert [one.text for one in found] == [WRONG, RIGHT]
    assert len(asked) == 3


def test_without_any_validation_windows_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = changed(CAT, validation=Windows.none())
    with pytest.raises(GlossaError, match=r"set sampling\.validation in params\.yaml, such as \{n: 10, negatives"):
        choose(monkeypatch, [WRONG, RIGHT], bare)


def test_candidates_that_would_be_alike_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Writer, "temperature", 0)
    with pytest.raises(GlossaError, match=r"should have a temperature above 0 in params\.yaml, found 0"):
        choose(monkeypatch, [WRONG, RIGHT], CAT)


def test_what_is_chosen_depends_on_no_other_latent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_of, "LATENTS", 2)
    latents = [changed(CAT, latent=number) for number in range(5)]
    found, _ = choose(monkeypatch, [WRONG, RIGHT], *latents)
    assert [(one.latent, one.text) for one in found] == [(number, RIGHT) for number in range(5)]
