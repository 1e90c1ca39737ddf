from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.results.reading import Results, Score
from stages.site.scorecards import HEIGHT, cards, path, scale


def test_scales_by_hand() -> None:
    assert scale([0.4, 0.9], bounded=True) == (0.25, 1.0)
    assert scale([-0.3], bounded=True) == (-0.5, 1.0)
    assert scale([1.0, 1.0], bounded=True) == (0.75, 1.0)
    assert scale([], bounded=True) == (0.0, 1.0)
    assert scale([-2.2, 2.9], bounded=False) == (-3.0, 3.0)
    assert scale([12.0, 38.0], bounded=False) == (0.0, 40.0)
    assert scale([0.0], bounded=False)[1] > 0


@given(st.lists(st.floats(-1, 1), max_size=9), st.booleans())
def test_a_scale_holds_all_values(values: list[float], bounded: bool) -> None:
    low, high = scale(values, bounded)
    assert low < high
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in values)


def test_a_distribution_by_hand() -> None:
    assert path([0.5, 0.0, 0.25, 1.0], 0.5) == f"M0 {HEIGHT}V0H25V26H50V13H75V0H100V{HEIGHT}Z", (
        "what is higher is cut off"
    )
    assert path([0.0, 0.0], 0.5) == ""
    assert path([0.5], 0.0) == ""


def test_cards_by_hand(found: Results) -> None:
    first, second = cards(found)
    assert (first.scorer, first.metric, first.floor, first.ends) == (
        "detection",
        "balanced accuracy",
        "floor",
        ("0.5", "1"),
    )
    assert [(row.coder, row.explainer) for row in first.rows] == [
        ("one", "pattern"),
        ("one", "llm"),
        ("two", "pattern"),
        ("two", "llm"),
    ]
    assert first.rows[0].at == pytest.approx({"score": 60, "low": 40, "high": 80, "floor": 0, "chance": 0})
    assert (first.scored, first.unscored) == (4, 4)
    assert second.scorer == "embedding"
    (intruder,) = cards(found, of_latents=True)
    assert (intruder.floor, [row.explainer for row in intruder.rows]) == ("chance", [None, None])
    assert intruder.rows[0].others == ""


def test_what_a_scorer_could_not_score_has_no_place(found: Results) -> None:
    one = found.coders["one"]
    scores = one.scores["llm"]["detection"]
    nothing = {"own": {}, "shuffled": {}}
    unscored = replace(
        scores, own={2: Score(None, None, None, 0, 9, "why")}, floor={}, meta={**scores.meta, "overall": nothing}
    )
    alone = replace(one, scores={"llm": {"detection": unscored}})
    (card,) = cards(replace(found, coders={"one": alone}, scorers=["detection"]))
    assert card.rows[0].at == {"chance": 0.0}
    assert (card.rows[0].own, card.rows[0].others) == ("", "")
