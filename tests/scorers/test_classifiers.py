from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from stages import llm, scorers
from stages.errors import GlossaError
from stages.llm.request import Answer, Request
from stages.scorers import Item
from stages.scorers.fuzzing import CLOSE, OPEN, marked, windows
from stages.scorers.table import OWN, SHUFFLED
from tests.scorers import planted

RIGHT, WRONG = 'Fires on "cat".', 'Fires on "dog".'
MODEL = {"provider": "pattern"}


def run(kind: str, text: str, **options: Any) -> scorers.Scored:
    scorer = scorers.load("x", {"kind": kind, "model": MODEL, **options})
    return scorer.score([Item(planted.latent(7, fires_on=1), text, OWN)], planted.vocabulary(), 0)


@pytest.mark.parametrize("kind", ["detection", "fuzzing"])
def test_the_right_explanation_scores_one_and_a_wrong_one_half(kind: str) -> None:
    assert run(kind, RIGHT).scores["score"].to_pylist() == [1.0]
    assert run(kind, WRONG).scores["score"].to_pylist() == [0.5]


@pytest.mark.parametrize("kind", ["detection", "fuzzing"])
def test_every_window_gets_one_verdict_whatever_the_batch_size(kind: str) -> None:
    one = run(kind, RIGHT, examples_per_prompt=1).verdicts
    seven = run(kind, RIGHT, examples_per_prompt=7).verdicts
    assert one.num_rows == 40
    assert one["window"].to_pylist() == list(range(20, 60))
    assert one.drop_columns(["request"]) == seven.drop_columns(["request"])
    assert len(set(one["request"].to_pylist())) == 40
    assert len(set(seven["request"].to_pylist())) == 6


class Liar:
    """Answers the first request with nonsense and the others with no."""

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for place, request in enumerate(requests):
            keys = request.schema["required"]
            yield Answer(
                "I would rather not." if place == 0 else "{" + ", ".join(f'"{key}": false' for key in keys) + "}"
            )


def test_what_cannot_be_read_is_unscored_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "load", lambda key, entry: Liar())
    found = run("detection", RIGHT)
    (row,) = found.scores.to_pylist()
    assert (row["n"], row["unscored"]) == (35, 5)
    assert row["sensitivity"] == 0.0
    assert row["specificity"] == 1.0
    lost = [verdict for verdict in found.verdicts.to_pylist() if verdict["predicted"] is None]
    assert [verdict["reason"] for verdict in lost] == ["the answer is no JSON"] * 5


def test_marks_alone_tell_nothing() -> None:
    """Over many latents, marked and falsely marked windows have the same number of marks in the same places."""
    columns: dict[bool, list[int]] = {True: [], False: []}
    for number in range(60):
        examples = planted.latent(number, fires_on=1)
        item = Item(examples, RIGHT, OWN)
        for example in windows(item, planted.vocabulary(), 0.3, np.random.default_rng(number)):
            assert example.text.count(OPEN) == example.text.count(CLOSE) == 1
            columns[example.active].append(len(example.text[: example.text.index(OPEN)].split()))
    true, false = (
        np.bincount(columns[active], minlength=planted.SIZE) / len(columns[active]) for active in (True, False)
    )
    assert np.abs(true - false).max() < 0.05


def test_marks_of_the_corpus_are_neutralised_and_runs_share_a_pair() -> None:
    vocabulary = planted.vocabulary()
    vocabulary.spellings[3] = " \u00absun\u00bb".encode()
    text = marked(np.array([1, 2, 3, 4], np.int32), np.array([True, True, False, True]), vocabulary)
    assert text == f"{OPEN} cat dog{CLOSE} \u2039sun\u203a{OPEN} sea{CLOSE}"


def test_special_tokens_are_neither_shown_nor_marked() -> None:
    examples = planted.latent(7, fires_on=1)
    examples.negative.tokens[:, 3] = 0
    found = windows(Item(examples, RIGHT, OWN), planted.vocabulary(), 0.3, np.random.default_rng(0))
    assert all("<end>" not in example.text and f"{OPEN}{CLOSE}" not in example.text for example in found)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "detecton"}, "did you mean detection"),
        ({"kind": "detection"}, r"scorers\.x\.model is missing"),
        ({"kind": "detection", "model": MODEL, "examples_per_prompt": 0}, "greater than or equal to 1, found 0"),
        ({"kind": "fuzzing", "model": MODEL, "threshold": 1.5}, "less than or equal to 1, found 1.5"),
        ({"kind": "fuzzing", "model": MODEL, "treshold": 0.5}, "has no key 'treshold'; did you mean threshold"),
    ],
)
def test_a_mistake_in_params_is_one_sentence(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(GlossaError, match=message):
        scorers.load("x", entry)


def test_the_floor_gives_every_latent_another_ones_explanation() -> None:
    from stages.scorers.run import run as run_scorer

    latents = planted.Sample(planted.latent(number, fires_on=1 + number % 2) for number in range(6))
    texts = {number: RIGHT if number % 2 == 0 else WRONG for number in range(6)}
    scorer = scorers.load("x", {"kind": "detection", "model": MODEL})
    found, facts = run_scorer(scorer, latents, texts, planted.vocabulary(), 0)  # type: ignore[arg-type]
    assert facts["overall"][OWN]["score"] == 1.0
    assert facts["overall"][SHUFFLED]["n_latents"] == 6
    assert facts["overall"][SHUFFLED]["score"] < 1.0
    assert facts["deciles"] == [1.0] * 10
    assert found.scores["explanation"].to_pylist() == [OWN] * 6 + [SHUFFLED] * 6
    few = scorers.load("x", {"kind": "detection", "model": MODEL, "latents": 2})
    _, facts = run_scorer(few, latents, texts, planted.vocabulary(), 0)  # type: ignore[arg-type]
    assert (facts["latents_scored"], facts["latents_explained"]) == (2, 6)
