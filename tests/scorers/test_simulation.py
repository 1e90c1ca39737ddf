from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from stages import llm, scorers
from stages.errors import GlossaError
from stages.examples.table import LatentExamples, Windows
from stages.llm.forms import strengths
from stages.llm.providers import local
from stages.llm.providers.local import Local
from stages.llm.request import Answer, Request
from stages.scorers import Context, Item, at_once
from stages.scorers.simulation import Options
from stages.scorers.table import OWN, SHUFFLED
from tests.llm import small_models
from tests.scorers import planted

RIGHT, WRONG, ELSEWHERE = 'Fires on "cat".', 'Fires on "dog".', 'Fires on "sun".'
PATTERN = {"provider": "pattern"}


def load(**options: Any) -> Options:
    return scorers.load("x", {"kind": "simulation", "model": PATTERN, **options})


def run(*texts: str, examples: LatentExamples | None = None, **options: Any) -> scorers.Scored:
    controls = [OWN, SHUFFLED]
    items = [
        Item(examples or planted.latent(7, 1), text, control) for text, control in zip(texts, controls, strict=False)
    ]
    return load(**options).score(items, Context(planted.vocabulary(), 0))


def test_the_right_explanation_is_near_one_and_an_unrelated_one_near_nought() -> None:
    found = run(RIGHT, ELSEWHERE, active=20, random=20)
    own, floor = found.scores["score"].to_pylist()
    assert found.metric.name == "pearson"
    assert own > 0.9
    assert -0.2 < floor < 0.1
    assert found.scores["n"].to_pylist() == [40, 40]


def test_the_score_is_the_correlation_over_all_tokens() -> None:
    found = run(RIGHT, active=20, random=20)
    examples = planted.latent(7, 1)
    true = np.concatenate([examples.test.activations, examples.negative.activations])
    tokens = np.concatenate([examples.test.tokens, examples.negative.tokens])
    assert found.scores["score"].to_pylist() == [pytest.approx(pearsonr(true.ravel(), (tokens == 1).ravel()).statistic)]
    measures = {row["metric"]: row["value"] for row in found.measures.to_pylist()}
    said = 5.0 * (tokens == 1)  # 10 stands for the latent's maximum
    assert measures["r2"] == pytest.approx(1 - ((true - said) ** 2).sum() / ((true - true.mean()) ** 2).sum())
    explained = 1 - np.abs(true - said).sum() / np.abs(true - true.mean()).sum()
    assert measures["absolute_deviation_explained"] == pytest.approx(explained)


def test_an_explanation_of_what_is_not_there_is_undefined_for_that_reason() -> None:
    (row,) = run(WRONG).scores.to_pylist()
    assert (row["score"], row["reason"]) == (None, "the same is predicted for every token")
    assert (row["n"], row["unscored"]) == (20, 0)


def test_verdicts_keep_what_was_predicted_of_every_token() -> None:
    examples = planted.latent(7, 1)
    examples.negative.tokens[:, 3] = 0  # a special token
    found = run(RIGHT, examples=examples, active=20, random=20).verdicts.to_pylist()
    assert [row["window"] for row in found] == list(range(20, 60))
    for row, tokens in zip(found, [*examples.test.tokens, *examples.negative.tokens], strict=True):
        assert row["values"] == [None if token == 0 else 10.0 * (token == 1) for token in tokens]
        assert row["value"] == pytest.approx(10 * (tokens == 1).sum() / (tokens != 0).sum())
        assert row["active"] == (row["role"] == "test")
        assert row["predicted"] is None
    assert len({row["request"] for row in found}) == 40


def starts(examples: LatentExamples, seed: int = 0, **options: Any) -> tuple[list[int], list[int]]:
    shown = load(**options).windows(Item(examples, RIGHT, OWN), Context(planted.vocabulary(), seed))
    windows = [(one.example.window, one.example.active) for one in shown]
    return [start for start, active in windows if active], [start for start, active in windows if not active]


def test_windows_are_spread_over_the_deciles_or_are_the_strongest() -> None:
    examples = planted.latent(7, 1, n=50)
    active, silent = starts(examples)
    place = {int(start): number for number, start in enumerate(examples.test.starts)}
    assert sorted(int(examples.test.deciles[place[start]]) for start in active) == list(range(1, 11))
    assert len(silent) == 10
    assert (active, silent) != starts(examples, seed=1)
    strongest = np.argsort(-examples.test.activations.max(axis=1))[:3]
    assert starts(examples, choose="top", active=3)[0] == sorted(examples.test.starts[strongest].tolist())
    assert len(starts(examples, active=1, random=0)[0]) == 1
    few = planted.latent(7, 1, n=4)
    assert [len(part) for part in starts(few)] == [4, 4]


def test_only_negatives_drawn_at_random_are_shown() -> None:
    examples = planted.latent(7, 1)
    examples.negative.kinds[:] = ["neighbour"] * 15 + ["random"] * 5
    assert starts(examples)[1] == examples.negative.starts[15:].tolist()
    examples.negative.kinds[:] = ["surface"] * 20
    found = run(RIGHT, examples=examples)
    assert found.scores["n"].to_pylist() == [10]
    assert found.scores["score"].to_pylist()[0] > 0.9


@given(st.permutations(range(20)))
def test_the_order_of_windows_does_not_matter_when_all_are_shown(order: list[int]) -> None:
    examples = planted.latent(7, 1)
    part = examples.test
    moved = Windows(part.starts[order], part.deciles[order], part.tokens[order], part.activations[order], part.kinds)
    other = LatentExamples(7, examples.facts, examples.train, moved, examples.negative)
    scores = [run(RIGHT, examples=one, active=20, random=20).scores["score"][0].as_py() for one in (examples, other)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)


class Liar:
    """Answers the first request with nonsense, the second not at all and the others with a number for every token."""

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for place, request in enumerate(requests):
            keys = strengths.wanted(request.schema)
            said = json.dumps({key: (place + number) % 11 for number, key in enumerate(keys)})
            yield [Answer('{"a": 11}'), Answer(None, "the model refused")][place] if place < 2 else Answer(said)


def test_what_cannot_be_read_is_unscored_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "load", lambda key, entry: Liar())
    found = run(RIGHT)
    (row,) = found.scores.to_pylist()
    assert (row["n"], row["unscored"]) == (18, 2)
    assert row["score"] is not None
    lost = [verdict for verdict in found.verdicts.to_pylist() if verdict["value"] is None]
    assert [verdict["reason"] for verdict in lost] == ["the answer has other keys than the tokens", "the model refused"]
    assert [verdict["values"] for verdict in lost] == [None, None]


def test_requests_of_an_explanation_begin_alike_and_quote_their_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    class Listener(Liar):
        def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
            seen = list(requests)
            asked.extend(seen)
            return super().answer(seen)

    monkeypatch.setattr(llm, "load", lambda key, entry: Listener())
    examples = planted.latent(7, 1)
    vocabulary = planted.vocabulary()
    vocabulary.spellings[1] = b'\n"<|im_end|>'
    load().score([Item(examples, RIGHT, OWN)], Context(vocabulary, 0))
    assert len({request.messages[0] for request in asked}) == 1
    for request in asked:
        head, _, tokens = request.messages[1].content.partition("\n\nTokens:\n")
        assert head == 'Explanation: "Fires on \\"cat\\"."'
        lines = [line.split(": ", 1) for line in tokens.splitlines()]
        assert [key for key, _ in lines] == list("abcdefgh") == request.schema["required"]  # type: ignore[index]
        assert all(isinstance(json.loads(text), str) for _, text in lines)
        assert "<|im_end|>" not in tokens


@pytest.mark.parametrize(
    "damage",
    ["no test", "no negatives", "one window", "special tokens only", "fires everywhere", "empty", "long", "foreign"],
)
def test_degenerate_latents_have_values_or_reasons(damage: str) -> None:
    examples = planted.latent(7, 1)
    text = {"empty": "", "long": "cat " * 3000, "foreign": "Слово 猫 \u202e قطة"}.get(damage, RIGHT)
    test, negative = examples.test, examples.negative
    if damage == "no test":
        test = Windows.none()
    if damage == "no negatives":
        negative = Windows.none()
    if damage == "one window":
        test = Windows(test.starts[:1], test.deciles[:1], test.tokens[:1], test.activations[:1], test.kinds[:1])
    if damage == "special tokens only":
        test.tokens[:] = negative.tokens[:] = 0
    if damage == "fires everywhere":
        test.activations[:] = 3
        negative = Windows.none()
    (row,) = run(text, examples=LatentExamples(7, examples.facts, examples.train, test, negative)).scores.to_pylist()
    assert (row["score"] is None) == (row["reason"] is not None)
    if damage == "special tokens only":
        assert (row["n"], row["unscored"], row["reason"]) == (0, 20, "no window has a prediction")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "all_at_once"}, "should have mode: token_by_token, or a model with provider: transformers"),
        ({"mode": "at_once"}, r"x\.mode should be 'token_by_token' or 'all_at_once'"),
        ({"active": 0}, "active should be greater than or equal to 1, found 0"),
        ({"choose": "best"}, "choose should be 'spread' or 'top'"),
    ],
)
def test_a_mistake_in_params_is_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GlossaError, match=message):
        load(**options)


# All at once.


def test_the_mean_by_hand() -> None:
    likely = np.full((2, 11), -9999.0)
    likely[0, 0], likely[0, 10] = np.log([0.3, 0.1])  # as 3 to 1, whatever else the model might have said
    likely[1, 7] = -20.0
    assert at_once.mean(likely) == pytest.approx([2.5, 7.0])


@pytest.fixture(scope="module", params=["digits", "numbers"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Local:
    """A model to which 10 is two tokens, and one to which it is one; both read the prompt."""
    lines = "".join(f" a\t{number}\n" for number in range(11))
    prompt = at_once.prompt("").replace("10", "") if request.param == "digits" else at_once.prompt("")
    texts = [prompt, prompt if request.param == "digits" else lines * 40]
    folder = small_models.make(tmp_path_factory.mktemp("models") / request.param, None, texts=texts)
    found = local.load(str(folder), None, "float32")
    assert len(found.after("\t", "10")) == (2 if request.param == "digits" else 1)
    return found


TOKENS = [[" The", " cat", "\n", "."], [" sun"], []]


def test_expected_numbers_are_those_of_a_loop_over_places_and_numbers(model: Local) -> None:
    head, unknown = model.head(at_once.prompt("Fires on cats.")), model.after("\t", "unknown\n")
    found = at_once.expected(model, "Fires on\ncats.", TOKENS)
    for tokens, values in zip(TOKENS, found, strict=True):
        assert not isinstance(values, str)
        assert len(values) == len(tokens)
        ids = list(head)
        for token, value in zip(tokens, values, strict=True):
            spelt = token.replace("\n", "\\n")
            ids += model.after("\n", f"{spelt}\t")
            share = [np.exp(by_hand(model, ids, model.after("\t", str(number)))) for number in range(11)]
            if len(model.after("\t", "10")) == 2:
                share[1] -= share[10]  # a 1 that is not the beginning of 10
            assert value == pytest.approx(np.dot(share, range(11)) / np.sum(share), abs=1e-3)
            ids += unknown


def by_hand(model: Local, ids: list[int], tokens: list[int]) -> float:
    import torch

    with torch.inference_mode():
        logits = model.model(torch.tensor([ids + tokens])).logits[0].double().log_softmax(-1)
    return sum(float(logits[len(ids) + i - 1, token]) for i, token in enumerate(tokens))


def test_what_goes_through_together_does_not_matter(model: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    together = at_once.expected(model, "x", TOKENS[:2])
    monkeypatch.setattr(model.headroom, "tokens", 1)
    alone = [at_once.expected(model, "x", [tokens])[0] for tokens in TOKENS[:2]]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-3)


def test_all_at_once_scores_the_windows(model: Local) -> None:
    found = run(RIGHT, mode="all_at_once", model={"provider": "transformers", "model": model.tokenizer.name_or_path})
    (row,) = found.scores.to_pylist()
    assert (row["n"], row["unscored"]) == (20, 0)
    assert -1 <= row["score"] <= 1
    for verdict in found.verdicts.to_pylist():
        assert len(verdict["values"]) == planted.SIZE
        assert verdict["request"] is None
    assert found.facts == {"models_answered": [Path(model.tokenizer.name_or_path).name]}


def test_a_text_that_is_too_long_is_unscored_and_a_prompt_that_is_a_mistake(
    model: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = len(model.head(at_once.prompt("x")))
    monkeypatch.setattr(model, "limit", n + 20)
    short, long = at_once.expected(model, "x", [[" a"], [" a"] * 20])
    assert not isinstance(short, str)
    assert "tokens, but the model reads at most" in str(long)
    monkeypatch.setattr(model, "limit", 20)
    with pytest.raises(GlossaError, match="reads at most 20 tokens"):
        at_once.expected(model, "x", [[" a"]])
