"""What an answer comes to, and what happens to latents that can't be asked about."""

from __future__ import annotations

import json
from itertools import count

import pytest

from stages import explainers
from stages.errors import GlossaError
from stages.examples.table import Windows
from stages.explainers.contrastive import ALONE
from stages.explainers.output import MISSING
from stages.llm.request import Answer
from tests.explainers.small import Writer, changed, explain, small

CAT = small(["the cat sat"], {" cat": 1.0}, 1.0, {" down": 2.0}, number=1, train_negative=["the dog sat"])


def said(text: str) -> str:
    return json.dumps({"explanation": text})


def test_an_explanation_comes_with_the_call_that_brought_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = explain(monkeypatch, "default", Writer(said(" Names of\n animals. ")), CAT)
    assert found == (1, "Names of animals.", None, {"model": "m"}, "call 0")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(None, "the model refused", key="k"), "the model refused"),
        (Answer(None, "the answer is no JSON", key="k"), "the answer is no JSON"),
        (Answer(said("I'm sorry, but I can't help."), key="k"), "the model declined to explain"),
        (Answer(said(""), key="k"), "the model gave an empty explanation"),
        (Answer(said("\u202e\n"), key="k"), "the model gave an empty explanation"),
    ],
)
def test_what_is_no_explanation_is_a_reason(answer: Answer, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = explain(monkeypatch, "default", Writer(lambda _: answer), CAT)
    assert (found.text, found.reason, found.request) == (None, reason, "k")


def test_reasoning_is_kept_beside_the_explanation(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer('{"analysis": "1. Cats.\\n2. Sitting.", "explanation": "Cats."}')
    (found,) = explain(monkeypatch, "cot", writer, CAT)
    assert found.text == "Cats."
    assert found.evidence == {"analysis": "1. Cats. 2. Sitting.", "model": "m"}


def test_latents_without_anything_to_show_are_not_asked_about_and_keep_their_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = count()
    writer = Writer(lambda _: said(f"answer {next(numbers)}"))
    empty = changed(CAT, latent=2, train=Windows.none())
    third = changed(CAT, latent=3)
    found = explain(monkeypatch, "default", writer, empty, CAT, empty, third, empty)
    assert [(one.latent, one.text) for one in found] == [
        (2, None),
        (1, "answer 0"),
        (2, None),
        (3, "answer 1"),
        (2, None),
    ]
    assert found[0].reason == "there is no window to explain it by"
    assert found[0].request is None
    assert len(writer.requests) == 2


@pytest.mark.parametrize("kind", ["output", "combined"])
def test_what_a_latent_promotes_may_be_unknown(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = changed(CAT, facts={"max": 1.0, "top_tokens": None})
    (found,) = explain(monkeypatch, kind, Writer(said("x")), unknown)
    assert (found.text, found.reason) == (None, MISSING)


def test_contrast_needs_silent_windows_on_the_train_side(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = changed(CAT, latent=2, train_negative=Windows.none())
    writer = Writer(said("x"))
    with pytest.raises(GlossaError, match=r"add negatives, such as \{random: 10\}, to sampling\.train in params\.yaml"):
        explain(monkeypatch, "contrastive", writer, alone, alone)
    assert not writer.requests
    found = explain(monkeypatch, "contrastive", writer, alone, CAT)
    assert [one.reason for one in found] == [ALONE, None]


def test_none_says_so_of_every_latent() -> None:
    unit = explainers.load("mine", {"kind": "none"})
    found = list(unit.explain([CAT.latent], CAT.tokens))
    assert found == [(1, None, "no explanation was asked for", {}, None)]
