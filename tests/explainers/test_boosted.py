"""What raising a latent boosts, on a subject whose latents are wired to output tokens by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stages import explainers
from stages.corpus.tokens import Tokens
from stages.examples import origin
from stages.examples.table import LatentExamples, Windows
from stages.explainers.output import MISSING
from stages.llm.request import Request
from tests.explainers.small import WRITER, Writer, read
from tests.scorers import planted, wired


class Corpus:
    """Stands for ``Tokens``."""

    vocabulary = planted.vocabulary()


@pytest.fixture(autouse=True)
def corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tokens, "open", lambda: Corpus())


def latents() -> list[LatentExamples]:
    found = [planted.latent(number, fires_on) for number, fires_on in enumerate(wired.FIRES)]
    return [
        replace(one, facts={**one.facts, "max": 5.0, "bottom_tokens": None, "bottom_values": None}) for one in found
    ]


def prepared(
    monkeypatch: pytest.MonkeyPatch, *shown: LatentExamples, own: Any = None, **options: Any
) -> list[LatentExamples]:
    context = wired.context(monkeypatch, own)
    unit = explainers.load("mine", {"kind": "output", "model": WRITER, **options})
    assert context.p is not None
    p = context.p.model_copy(update={"seed": 0})
    return list(unit.prepare(shown or latents(), p, "one"))


def test_the_wired_token_is_boosted_most(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, token in zip(prepared(monkeypatch, boosted=3), wired.WRITES, strict=True):
        assert found.facts["boosted_tokens"] == [token], "the others lose what it gains"
        assert found.facts["boosted_values"][0] > 0.2


def test_the_value_is_the_mean_rise_of_the_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    (one, _) = latents()
    (found,) = prepared(monkeypatch, one, boosted=1)
    # At the last token the residual stream is one unit along the token it fires on, and 5 along the direction written;
    # the norm makes their root mean square 1, and the unembedding reads the direction three times.
    written = 3 * 5 / np.sqrt((1 + 25) / wired.WIDTH)
    n = len(planted.WORDS)
    expected = np.exp(written) / (np.exp(written) + n - 1) - 1 / n
    assert found.facts["boosted_values"] == pytest.approx([expected], abs=1e-4)


def test_latents_do_not_depend_on_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    together = prepared(monkeypatch, boosted=2)
    monkeypatch.setattr("stages.subject.steering.LOGITS", 1)
    apart = prepared(monkeypatch, boosted=2)
    assert [found.facts["boosted_tokens"] for found in together] == [found.facts["boosted_tokens"] for found in apart]


def test_what_cannot_be_raised_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    (one, other) = latents()
    at_once = replace(one, train=replace(one.train, activations=np.ones_like(one.train.activations)))
    none = replace(other, train=Windows.none())
    assert [found.facts["boosted_tokens"] for found in prepared(monkeypatch, at_once, none, boosted=3)] == [[], []]
    for found in prepared(monkeypatch, own=wired.coder(W_dec=None), boosted=3):
        assert "boosted_tokens" not in found.facts


def test_without_the_option_the_subject_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = explainers.load("mine", {"kind": "combined", "model": WRITER})
    monkeypatch.setattr(origin, "load", lambda p, coder: pytest.fail("the subject was loaded"))
    shown = latents()
    assert list(unit.prepare(shown, None, "one")) == shown  # type: ignore[arg-type]
    plain = explainers.load("mine", {"kind": "pattern"})
    assert plain.prepare(shown, None, "one") is shown  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["output", "combined"])
def test_the_model_reads_what_is_boosted(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    asked = requests(monkeypatch, kind, boosted=3)
    for request, word in zip(asked, (" sun", " sea"), strict=True):
        assert read(request).lists["Boosted"] == [(word, 10)]
        assert sum("Boosted: " in message.content for message in request.messages) == 5
    for request in requests(monkeypatch, kind):
        assert not any("Boosted" in message.content for message in request.messages)
        assert "Boosted" not in read(request).lists


def test_without_any_of_them_there_is_nothing_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer("x")
    monkeypatch.setattr("stages.llm.load", lambda key, entry: writer)
    unit = explainers.load("mine", {"kind": "output", "model": WRITER})
    assert [found.reason for found in unit.explain(latents(), Corpus())] == [MISSING] * 2


def requests(monkeypatch: pytest.MonkeyPatch, kind: str, **options: Any) -> list[Request]:
    writer = Writer('{"explanation": "Promotes words."}')
    monkeypatch.setattr("stages.llm.load", lambda key, entry: writer)
    wired_context = wired.context(monkeypatch)
    assert wired_context.p is not None
    p = wired_context.p.model_copy(update={"seed": 0})
    promoted = {"top_tokens": [5], "top_values": [1.0], "bottom_tokens": [6], "bottom_values": [-1.0]}
    shown = [replace(one, facts={**one.facts, **promoted}) for one in latents()]
    unit = explainers.load("mine", {"kind": kind, "model": WRITER, **options})
    list(unit.explain(unit.prepare(shown, p, "one"), Corpus()))
    return writer.requests
