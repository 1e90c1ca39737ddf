"""What every score stage does around its scorer."""

from __future__ import annotations

from typing import Any

import pytest

from stages import registry, scorers
from stages.examples.table import LatentExamples, Windows
from stages.scorers import Context
from stages.scorers.run import NOTHING_SHOWN, Part, run, whole
from stages.scorers.table import OWN, SHUFFLED
from tests.scorers import planted

MODEL = {"provider": "pattern"}
RIGHT = 'Fires on "cat".'


def scored(sample: Any, texts: dict[int, str], kind: str, **options: Any) -> tuple[Part, dict[str, Any]]:
    scorer = scorers.load("x", {"kind": kind, "model": MODEL, **options})
    parts: list[Part] = []
    with_floor = kind not in registry.SCORERS_OF_LATENTS
    facts = run(scorer, sample, texts, Context(planted.vocabulary(), 0), parts.append, with_floor)
    return whole(parts), facts


@pytest.mark.parametrize("kind", ["detection", "fuzzing"])
def test_a_latent_of_which_nothing_can_be_shown_says_so(kind: str) -> None:
    none = Windows.none()
    sample = planted.Sample([planted.latent(1, fires_on=1), LatentExamples(2, {}, none, none, none)])
    found, facts = scored(sample, {1: RIGHT, 2: RIGHT}, kind)
    rows = found.scores.to_pylist()
    assert [(row["explanation"], row["latent"]) for row in rows] == [(OWN, 1), (OWN, 2), (SHUFFLED, 1), (SHUFFLED, 2)]
    assert [row["reason"] for row in rows] == [None, NOTHING_SHOWN, None, NOTHING_SHOWN]
    assert facts["unscored"][OWN]["latents_by_reason"] == {NOTHING_SHOWN: 1}
    assert facts["overall"][OWN]["balanced_accuracy"]["all"]["n_latents"] == 1


def test_a_scorer_of_latents_has_no_floor_but_chance() -> None:
    sample = planted.Sample([planted.latent(number, fires_on=1, n=50) for number in range(3)])
    found, facts = scored(sample, dict.fromkeys(range(3), ""), "intruder")
    assert found.scores["explanation"].to_pylist() == [OWN] * 3
    assert list(facts["overall"]) == list(facts["unscored"]) == [OWN]
    assert facts["chance"] == 0.2
    assert facts["overall"][OWN]["accuracy"]["all"]["value"] == 1


def test_one_explanation_has_no_other_to_be_compared_with() -> None:
    _, facts = scored(planted.Sample([planted.latent(1, fires_on=1)]), {1: RIGHT}, "detection")
    assert facts["overall"][SHUFFLED] == {}


def test_explainers_that_left_other_latents_out_are_scored_on_the_same() -> None:
    sample = planted.Sample([planted.latent(number, fires_on=1) for number in range(40)])
    whole, some = (
        scored(sample, dict.fromkeys(own, RIGHT), "detection", latents=12)[0].scores
        for own in (range(40), range(3, 40, 2))
    )
    by_all, by_some = (found["latent"].to_pylist()[: len(found) // 2] for found in (whole, some))
    assert len(by_all) == len(by_some) == 12
    common = set(by_all) & set(range(3, 40, 2))
    assert common <= set(by_some), "those of the larger sub-sample that both explained come first"
    assert by_all != list(range(12))


def test_no_explanation_at_all_is_no_score() -> None:
    found, facts = scored(planted.Sample(), {}, "detection")
    assert (len(found.scores), len(found.measures), facts["overall"][OWN]) == (0, 0, {})


def test_a_latents_figures_do_not_depend_on_which_others_are_scored() -> None:
    sample = planted.Sample([planted.latent(number, fires_on=1 + number % 2) for number in range(6)])
    texts = dict.fromkeys(range(6), RIGHT)
    whole, _ = scored(sample, texts, "fuzzing")
    part, _ = scored(sample, {3: RIGHT, 4: RIGHT}, "fuzzing")
    rows = [row for row in whole.scores.to_pylist() if row["latent"] in (3, 4)]
    assert rows == part.scores.to_pylist()


def test_a_smaller_sub_sample_asks_a_part_of_what_a_larger_one_asks() -> None:
    sample = planted.Sample([planted.latent(number, fires_on=1 + number % 2) for number in range(6)])
    texts = {number: f'Fires on "word {number}".' for number in range(6)}
    asked = [
        set(scored(sample, texts, "detection", latents=latents)[0].verdicts["request"].to_pylist())
        for latents in (1, 3, 6)
    ]
    assert asked[0] < asked[1] < asked[2]
    assert len(asked[0]) == 2 * len(asked[2]) // 12, "its own explanation, and another's"
