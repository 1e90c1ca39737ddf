"""Texts that are written by hand, for latents that fire on known words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from stages import llm, params, scorers
from stages.corpus import encode
from stages.errors import GlossaError
from stages.estimate import rehearse
from stages.estimate.pending import Stage
from stages.examples import origin
from stages.llm.rehearsal import Rehearsal
from stages.llm.request import Answer, Request
from stages.scorers import Item, Scored
from stages.scorers.sensitivity import EMPTY
from stages.scorers.sensitivity import share as share_of
from stages.scorers.table import OWN, SHUFFLED
from tests.scorers import planted, wired

CAT, DOG = 'Fires on "cat".', 'Fires on "dog".'


class Tokenizer:
    """Reads the words of ``planted``; stands for a fast tokenizer."""

    encode_special_tokens = False

    @property
    def backend_tokenizer(self) -> Any:
        return self

    def no_truncation(self) -> None:
        pass

    no_padding = no_truncation

    def encode_batch(self, texts: list[str], add_special_tokens: bool) -> list[Any]:
        assert not add_special_tokens
        words = [word.strip() for word in planted.WORDS]
        return [type("Encoding", (), {"ids": [words.index(w) for w in text.split() if w in words]}) for text in texts]


class Writer:
    """Writes what it is told to, and remembers what it was asked."""

    def __init__(self, said: Callable[[Request], Answer]):
        self.said = said
        self.requests: list[Request] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for request in requests:
            self.requests.append(request)
            yield self.said(request)


def wrote(*texts: str) -> Writer:
    return Writer(lambda request: Answer(json.dumps(dict(zip("abcdefgh", texts, strict=False))), key="call", model="m"))


def run(
    monkeypatch: pytest.MonkeyPatch, model: Any = None, entry: Any = None, skipped: int = 0, **options: Any
) -> Scored:
    monkeypatch.setattr(encode, "load_tokenizer", lambda *names: (Tokenizer(), None))
    if model is not None:
        monkeypatch.setattr(llm, "load", lambda key, entry: model)
    context = wired.context(monkeypatch, skipped=skipped)
    object.__setattr__(context.p, "subject", type("Subject", (), {"model": "m", "revision": None}))
    scorer = scorers.load("x", {"kind": "sensitivity", "model": entry or {"provider": "pattern"}, **options})
    cat = planted.latent(0, wired.FIRES[0])
    return scorer.score([Item(cat, CAT, OWN), Item(cat, DOG, SHUFFLED)], context)


def test_the_score_is_the_share_of_texts_on_which_it_fires(monkeypatch: pytest.MonkeyPatch) -> None:
    model = wrote("the cat", "the dog", "a cat on the sea", "cat sun cat")
    found = run(monkeypatch, model, texts=4)
    (own, floor) = found.scores.to_pylist()
    assert (own["explanation"], own["score"], own["n"], own["unscored"]) == (OWN, 0.75, 4, 0)
    assert 0 <= own["low"] < 0.75 < own["high"] <= 1
    assert floor["score"] == 0.75, "the same texts, whoever asked"
    rows = [row for row in found.verdicts.to_pylist() if row["explanation"] == OWN]
    assert [row["active"] for row in rows] == [True, False, True, True]
    assert [row["value"] for row in rows] == pytest.approx([0.5, 0, 0.5, 0.5])
    assert {(row["role"], row["request"], row["predicted"]) for row in rows} == {("written", "call", True)}
    assert [row["text"] for row in rows] == ["the cat", "the dog", "a cat on the sea", "cat sun cat"]
    assert found.facts == {"models_answered": ["m"]}
    strong = [row for row in found.measures.to_pylist() if (row["explanation"], row["subset"]) == (OWN, "strong")]
    assert strong[0]["value"] == 0, "the windows of the corpus have 1 to 5"


def test_the_model_is_shown_the_explanation_and_nothing_of_the_latent(monkeypatch: pytest.MonkeyPatch) -> None:
    model = wrote("the cat", "the dog")
    run(monkeypatch, model, texts=2)
    asked = [request.messages[-1].content for request in model.requests]
    assert asked == [f'Explanation: {json.dumps(text)}\n\nKeys: "a", "b"' for text in (CAT, DOG)]
    schema = model.requests[0].schema
    assert schema is not None
    assert schema["properties"] == {"a": {"type": "string"}, "b": {"type": "string"}}


def test_the_built_in_writer_holds_what_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    own, floor = run(monkeypatch).scores.to_pylist()
    assert (own["score"], floor["score"]) == (1.0, 0.0)
    assert own["n"] == 10


def test_what_was_not_written_is_unscored_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, Writer(lambda request: Answer(None, "the model refused", key="k")), texts=3)
    (own, _) = found.scores.to_pylist()
    assert (own["score"], own["n"], own["unscored"], own["reason"]) == (None, 0, 3, "the model refused")
    assert found.verdicts["reason"].to_pylist() == ["the model refused"] * 6
    assert found.verdicts["active"].null_count == found.verdicts["predicted"].null_count == 6
    found = run(monkeypatch, wrote("the cat", " \x00 ", "\x1b[31m"), texts=3)
    (own, _) = found.scores.to_pylist()
    assert (own["score"], own["n"], own["unscored"], own["reason"]) == (1.0, 1, 2, None)
    assert found.verdicts["reason"].to_pylist() == [None, EMPTY, EMPTY] * 2


def test_a_share_and_its_interval_by_hand() -> None:
    figure = share_of(np.array([True] * 30 + [False] * 10), "", np.random.default_rng(0))
    assert figure.value == 0.75
    assert figure.low == pytest.approx(0.75 - 1.96 * (0.75 * 0.25 / 40) ** 0.5, abs=0.03)
    assert figure.high == pytest.approx(0.75 + 1.96 * (0.75 * 0.25 / 40) ** 0.5, abs=0.03)
    assert share_of(np.array([], bool), "why", np.random.default_rng(0)).reason == "why"


def test_an_estimate_counts_its_calls_and_runs_no_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "load", lambda p, name: pytest.fail("the subject was loaded"))
    entry = {"kind": "sensitivity", "model": {"provider": "openai", "endpoint": "lab", "model": "m"}, "texts": 4}
    p = params.Params.model_construct(seed=0, scorers={"s": entry})
    sample = planted.Sample(planted.latent(number, wired.FIRES[number % 2]) for number in range(3))
    texts = dict(enumerate(("A cat.", "A dog.", "A sun.")))
    noted: list[Any] = []
    for placeholders in (False, True):
        noted.clear()
        rehearsal = Rehearsal({}, noted.append, placeholders)
        corpus: Any = type("Tokens", (), {"vocabulary": planted.vocabulary()})
        found = rehearse.score(p, Stage("one", "x", "s"), rehearsal, sample, texts, corpus)
        assert found == (6, 6)
        assert len({one.key for one in noted}) == 3, "another's explanation is asked about once"
        assert {one.question.max_tokens for one in noted} == {400}


def test_a_mistake_in_params_is_one_sentence() -> None:
    with pytest.raises(GlossaError, match=r"scorers\.x\.texts should be less than or equal to 26, found 27"):
        scorers.load("x", {"kind": "sensitivity", "model": {"provider": "pattern"}, "texts": 27})


def test_a_first_column_that_is_no_text_does_not_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, wrote("cat the", "the cat"), texts=2, skipped=1)
    rows = [row for row in found.verdicts.to_pylist() if row["explanation"] == OWN]
    assert [row["active"] for row in rows] == [False, True]
