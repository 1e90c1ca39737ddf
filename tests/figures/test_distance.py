from __future__ import annotations

import pytest

from stages.figures import distance
from stages.figures.picture import DARK, LIGHT
from tests.figures.drawn import Drawn, on_a_line


def record(a: str, b: str, relation: str, layers: int | None, cosine: float | None = 0.5) -> dict:
    ends = {"low": None, "high": None, "floor": None} if cosine is None else {"low": 0.4, "high": 0.6, "floor": 0.3}
    measures = {"explanation_cosine": cosine, "decoder_cosine": 0.2}
    measures |= {"decoder_low": 0.1, "decoder_high": 0.3, "decoder_cosine_random": 0.0}
    return {"a": a, "b": b, "explainer": "e", "relation": relation, "layer_distance": layers, **measures, **ends}


def test_pairs_of_one_distance_stand_side_by_side() -> None:
    records = [record(*"ab", "with a control", 1), record(*"ac", "same place", 1), record(*"bc", "same place", 2)]
    records += [{**one, "explainer": "other"} for one in records]
    found = distance.points(records, distance.MEASURES[0])
    assert [point["place"] for point in found] == [1.125, 0.875, 2.0] * 2


def test_similarity_by_distance_leaves_out_what_is_unknown() -> None:
    records = [
        record(*"ab", "same place", 0),
        record(*"ac", "with a control", 2, None),
        record(*"bc", "different subjects", None),
    ]
    drawn = Drawn(distance.draw(records, "svg", LIGHT))
    points, floors = drawn.marks["point"], drawn.marks["tick"]
    said = ["a \N{EN DASH} b: 0.5", "a \N{EN DASH} b: 0.2", "a \N{EN DASH} c: 0.2"]
    assert [mark.said for mark in points] == said
    assert [mark.fill for mark in points] == [LIGHT.series[0], LIGHT.series[0], LIGHT.series[2]]
    assert len(floors) == 3
    assert points[0].x == points[1].x < points[2].x
    assert drawn.said.count("0") == drawn.said.count("2") == 2
    assert [text for text in drawn.said if "cosine" in text] == [measure.title for measure in distance.MEASURES]
    assert drawn.said[-3:] == ["floor: random pairs", "same place", "with a control"]


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_values_intervals_and_floors_stand_at_their_heights(palette: distance.Palette) -> None:
    drawn = Drawn(distance.draw([record(*"ab", "same place", 0), record(*"ac", "different places", 3)], "svg", palette))
    points, floors = drawn.marks["point"], drawn.marks["tick"]
    intervals = [line for line in drawn.lines if line.stroke in palette.series and line.height]
    for n, (value, low, high, floor) in enumerate(((0.5, 0.4, 0.6, 0.3), (0.2, 0.1, 0.3, 0.0))):
        for place in (2 * n, 2 * n + 1):
            line = intervals[place]
            heights = [(value, points[place].y), (floor, floors[place].y), (low, line.y + line.height), (high, line.y)]
            assert on_a_line(heights)
            assert points[place].y < floors[place].y
            assert line.x == pytest.approx(points[place].x)


def test_without_an_interval_a_point_is_alone() -> None:
    alone = {**record(*"ab", "same place", 1), "low": None, "high": None, "decoder_low": None, "decoder_high": None}
    drawn = Drawn(distance.draw([alone], "svg", LIGHT))
    assert len(drawn.marks["point"]) == 2
    assert not [line for line in drawn.lines if line.stroke in LIGHT.series]


def test_a_measure_of_which_nothing_is_known_has_no_panel() -> None:
    drawn = Drawn(distance.draw([record(*"ab", "same place", 1, None)], "svg", LIGHT))
    assert [text for text in drawn.said if "cosine" in text] == ["cosine of decoder directions"]
    for records in ([], [record(*"ab", "same place", None)]):
        assert Drawn(distance.draw(records, "svg", DARK)).said == ["No two coders whose layers are known"]
