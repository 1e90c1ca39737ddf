from __future__ import annotations

import itertools

import pytest

from stages.figures import overview as figures
from stages.figures import plots
from stages.figures.picture import DARK, LIGHT, Palette
from stages.results.reading import Results
from tests.figures.drawn import Drawn, Mark, on_a_line
from tests.figures.test_picture import contrast


def record(**values: object) -> dict:
    found = {"coder": "a", "explainer": "e", "scorer": "s", "metric": "AUROC", "score": 0.6}
    return found | {"low": 0.55, "high": 0.75, "floor": 0.4, "chance": 0.5} | values


def pair(a: str, b: str, cosine: float | None = 0.5, floor: float | None = 0.3) -> dict:
    return {"a": a, "b": b, "explainer": "e", "explanation_cosine": cosine, "floor": None if cosine is None else floor}


def overview(records: list[dict], palette: Palette = LIGHT) -> Drawn:
    return Drawn(figures.overview(records, "svg", palette))


def test_every_score_and_floor_stands_where_its_value_is(found: Results) -> None:
    records = plots.score_records(found)
    drawn = overview(records)
    assert [panel.said[-2:] for panel in drawn.panels] == [
        ["balanced accuracy", "detection"],
        ["AUROC", "embedding"],
        ["accuracy", "intruder"],
    ]
    shown = 0
    for panel in drawn.panels:
        chosen = [r for r in records if r["scorer"] == panel.said[-1] and r["score"] is not None]
        points, floors = panel.marks.get("point", []), panel.marks.get("tick", [])
        wanted = {
            ", ".join(filter(None, (r["coder"], r["explainer"]))) + f": {r['score']:.9g}": r["score"] for r in chosen
        }
        assert sorted(mark.said for mark in points) == sorted(wanted)
        pairs = [*panel.ticks, *((wanted[mark.said], mark.x) for mark in points)]
        pairs += [(float(mark.said.split("; ")[0].removeprefix("floor: ")), mark.x) for mark in floors]
        assert on_a_line(pairs)
        own = [r for r in chosen if r["explainer"] and r["floor"] is not None]
        assert len(floors) == len(own), "what needs no explanation has chance for its floor"
        shown += len(points)
    assert shown == 10
    assert drawn.said[-5:] == [
        "chance",
        "floor: another latent's explanation",
        "pattern, 95 % interval",
        "llm, 95 % interval",
        "without an explanation, 95 % interval",
    ]


def test_series_stand_side_by_side_in_colours_and_shapes_of_their_own(found: Results) -> None:
    detection, _, intruder = overview(plots.score_records(found)).panels
    one = [mark for mark in detection.marks["point"] if mark.said.startswith("one, ")]
    assert [mark.fill for mark in one] == list(LIGHT.series[:2])
    assert one[0].path != one[1].path
    assert one[0].y < one[1].y
    (alone,) = [mark for mark in intruder.marks["point"] if mark.said.startswith("one: ")]
    assert alone.fill == LIGHT.ink
    assert alone.y == pytest.approx((one[0].y + one[1].y) / 2), "in the middle of its row"


def interval(drawn: Drawn) -> tuple[float, float]:
    """The ends of the only coloured line."""
    return next((line.x, line.x + line.length) for line in drawn.lines if line.stroke == LIGHT.series[0])


def test_intervals_end_where_they_end_and_where_one_end_is_unknown_at_the_score() -> None:
    for low, high in ((0.55, 0.75), (None, 0.75), (0.55, None)):
        drawn = overview([record(low=low, high=high)])
        ends = interval(drawn)
        assert on_a_line([*drawn.panels[0].ticks, (low or 0.6, ends[0]), (high or 0.6, ends[1])])


def test_scorers_whose_chance_is_one_half_have_one_scale_and_others_their_own() -> None:
    wide = record(scorer="wide", score=0.9, high=0.95)
    drawn = overview([record(), wide, record(scorer="other", chance=0.2, score=3.0, low=2.0, high=4.0, floor=1.0)])
    narrow, other, third = drawn.panels
    assert [value for value, _ in narrow.ticks] == [value for value, _ in other.ticks]
    assert max(value for value, _ in narrow.ticks) >= 0.9
    assert max(value for value, _ in third.ticks) >= 3
    chances = [panel.marks["rule mark"][0] for panel in drawn.panels]
    assert [mark.said for mark in chances] == ["chance: 0.5", "chance: 0.5", "chance: 0.2"]
    assert on_a_line([*narrow.ticks, (0.5, chances[0].x)])


def test_unknown_scores_floors_and_chances_are_not_drawn() -> None:
    nothing = record(score=None, low=None, high=None, floor=None, chance=None)
    drawn = overview([nothing])
    assert "point" not in drawn.marks
    assert "tick" not in drawn.marks
    assert {"a", "AUROC", "s"} <= set(drawn.said), "but whom it is of is said"
    drawn = overview(
        [record(), nothing | {"coder": "b"}, record(coder="c", floor=None, chance=None, low=None, high=None)]
    )
    assert [mark.said for mark in drawn.marks["point"]] == ["a, e: 0.6", "c, e: 0.6"]
    assert [mark.said.split("; ")[:2] for mark in drawn.marks["tick"]] == [["floor: 0.4", "coder: a"]]
    assert [text for text in drawn.said if text in "abc"] == ["a", "b", "c"]


def test_without_scorers_or_coders_it_says_so() -> None:
    assert overview([], DARK).said == ["No scorers in params.yaml"]
    for pairs in ([], ()):
        assert Drawn(figures.similarity(pairs, "svg", DARK)).said == ["No two coders were compared"]


def test_figures_fit_on_a_page_of_text(found: Results) -> None:
    scores = plots.score_records(found)
    many = [
        {**one, "scorer": f"{one['scorer']}{n}", "coder": f"a_coder_{m}"}
        for one in scores
        for n in range(3)
        for m in range(4)
    ]
    for png in (figures.overview(many, "png", LIGHT), figures.overview(scores, "png", LIGHT)):
        width, height = (int.from_bytes(png[place : place + 4], "big") / 160 for place in (16, 20))
        assert 2 < width < 7.3
        assert 1 < height < 18


def test_many_coders_and_long_names_stay_whole_and_apart() -> None:
    names = [f"a_rather_long_name_of_a_coder_in_layer_{n}" for n in range(42)]
    drawn = overview([record(coder=name, explainer=f"explainer_{n % 9}") for n, name in enumerate(names)])
    rows = [text for text in drawn.texts if text.said in names]
    assert [row.said for row in rows] == names
    assert all(below.y - above.y > 11 for above, below in itertools.pairwise(rows))
    assert {f"explainer_{n}, 95 % interval" for n in range(9)} <= set(drawn.said)
    assert drawn.width < 700


def similarity(pairs: list[dict], coders: str = "abc", palette: Palette = LIGHT) -> Drawn:
    return Drawn(figures.similarity(pairs, "svg", palette, list(coders)))


def fields(drawn: Drawn) -> dict[str, list[Mark]]:
    found: dict[str, list[Mark]] = {}
    for mark in (*drawn.marks["rect mark"], *drawn.marks["text mark"]):
        found.setdefault("; ".join(mark.said.split("; ")[:2]), []).append(mark)
    return found


def test_fields_of_coders_that_were_not_compared_are_empty() -> None:
    drawn = similarity([pair(*"ac"), pair(*"cb", None)])
    assert set(fields(drawn)) == {
        "first: a; second: c",
        "first: c; second: a",
        "first: c; second: b",
        "first: b; second: c",
    }
    assert drawn.said.count("0.50") == drawn.said.count("(0.30)") == drawn.said.count("\N{EN DASH}") == 2
    assert [text for text in drawn.said if text in "abc"] == [*"abc", *"abc"]
    assert (
        "cosine of matched latents' explanations (floor);\ncolour: from floor to 1; empty: not compared" in drawn.said
    )
    whole = similarity([pair(*"ac"), pair(*"cb", None), pair(*"ab")])
    assert not any("empty" in text for text in whole.said)


def test_a_field_stands_in_the_column_of_one_coder_and_the_row_of_the_other() -> None:
    drawn = similarity([pair(*"ac"), pair(*"ab", 0.7)])
    places = {text.said: text for text in drawn.texts[:6] if text.x < 40}
    rows = {name: mark.y for name, mark in places.items()}
    columns = {text.said: text.x for text in drawn.texts if text.said in "abc" and text.x >= 40}
    for name, (face, *_) in fields(drawn).items():
        first, second = name.removeprefix("first: ").split("; second: ")
        assert face.y == pytest.approx(rows[second], abs=5)
        assert face.x == pytest.approx(columns[first], abs=5)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_numbers_can_be_read_on_every_colour(palette: Palette) -> None:
    for step in range(21):
        drawn = similarity([pair(*"ab", step / 20, 0.0)], "ab", palette)
        for face, *texts in fields(drawn).values():
            assert len(texts) == 2
            assert face.fill is not None
            for text in texts:
                assert text.fill is not None
                assert contrast({"black": "#000000", "white": "#ffffff"}[text.fill], face.fill) >= 4.5


def test_a_cosine_is_coloured_by_how_far_it_is_above_its_floor() -> None:
    assert figures.above(0.75, 0.5) == pytest.approx(0.5)
    assert (figures.above(0.4, 0.5), figures.above(1.0, 0.5), figures.above(0.25, None)) == (0, 1, 0.25)
    assert figures.above(1.0, 1.0) == 1
    ends = [fields(similarity([pair(*"ab", cosine)], "ab"))["first: a; second: b"][0].fill for cosine in (0.3, 1.0)]
    assert [bytes(map(int, end[4:-1].split(","))).hex() for end in ends if end] == [end[1:] for end in LIGHT.ramp]


def test_forty_two_coders_have_a_field_each_pair() -> None:
    names = [f"coder_{n}" for n in range(42)]
    pairs = [pair(a, b) for a in names for b in names if a < b]
    drawn = Drawn(figures.similarity(pairs, "svg", LIGHT, names))
    assert len(drawn.marks["rect mark"]) == 42 * 41
    assert not any("empty" in text for text in drawn.said)
