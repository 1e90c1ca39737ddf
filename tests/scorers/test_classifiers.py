from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from stages import llm, scorers
from stages.errors import GlossaError
from stages.llm.request import Answer, Request
from stages.scorers import Context, Item
from stages.scorers.table import OWN, SHUFFLED
from tests.scorers import planted

RIGHT, WRONG = 'Fires on "cat".', 'Fires on "dog".'
MODEL = {"provider": "pattern"}


def run(kind: str, text: str, **options: Any) -> scorers.Scored:
    scorer = scorers.load("x", {"kind": kind, "model": MODEL, **options})
    return scorer.score([Item(planted.latent(7, fires_on=1), text, OWN)], Context(planted.vocabulary(), 0))


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
    of = {measure["metric"]: measure["value"] for measure in found.measures.to_pylist() if measure["subset"] == "all"}
    assert (of["sensitivity"], of["specificity"]) == (0, 1)
    lost = [verdict for verdict in found.verdicts.to_pylist() if verdict["predicted"] is None]
    assert [verdict["reason"] for verdict in lost] == ["the answer is no JSON"] * 5


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "detecton"}, "did you mean detection"),
        ({"kind": "detection"}, r"scorers\.x\.model is missing"),
        ({"kind": "detection", "model": MODEL, "examples_per_prompt": 0}, "greater than or equal to 1, found 0"),
        ({"kind": "fuzzing", "model": MODEL, "threshold": 1.5}, "less than or equal to 1, found 1.5"),
        ({"kind": "fuzzing", "model": MODEL, "mismarked": 0.6}, "less than or equal to 0.5, found 0.6"),
        ({"kind": "fuzzing", "model": MODEL, "treshold": 0.5}, "has no key 'treshold'; did you mean threshold"),
    ],
)
def test_a_mistake_in_params_is_one_sentence(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(GlossaError, match=message):
        scorers.load("x", entry)


def test_the_floor_gives_every_latent_another_ones_explanation() -> None:
    from stages.scorers.run import run as run_scorer
    from stages.scorers.run import whole

    latents = planted.Sample(planted.latent(number, fires_on=1 + number % 2) for number in range(6))
    texts = {number: RIGHT if number % 2 == 0 else WRONG for number in range(6)}
    scorer = scorers.load("x", {"kind": "detection", "model": MODEL})
    parts: list[Any] = []
    facts = run_scorer(scorer, latents, texts, Context(planted.vocabulary(), 0), parts.append)  # type: ignore[arg-type]
    own, floor = (facts["overall"][control]["balanced_accuracy"]["all"] for control in (OWN, SHUFFLED))
    assert own == {"value": 1.0, "low": 1.0, "high": 1.0, "n_latents": 6}
    assert floor["n_latents"] == 6
    assert floor["value"] < 1.0
    of = facts["overall"][OWN]
    assert [of["sensitivity"][f"decile {decile}"]["value"] for decile in range(1, 11)] == [1.0] * 10
    assert of["specificity"]["negatives random"]["value"] == of["natural_f1"]["all"]["value"] == 1.0
    assert facts["unscored"][OWN] == {
        "latents": 0,
        "latents_by_reason": {},
        "examples": 0,
        "examples_by_reason": {},
    }
    assert whole(parts).scores["explanation"].to_pylist() == [OWN] * 6 + [SHUFFLED] * 6
    few = scorers.load("x", {"kind": "detection", "model": MODEL, "latents": 2})
    facts = run_scorer(few, latents, texts, Context(planted.vocabulary(), 0), lambda part: None)  # type: ignore[arg-type]
    assert (facts["latents_scored"], facts["latents_explained"]) == (2, 6)
