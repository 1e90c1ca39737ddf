from __future__ import annotations

import re

from stages.figures import deciles
from stages.figures.picture import DARK, LIGHT
from stages.results.reading import Results
from tests.figures.drawn import Drawn, on_a_line


def test_every_scorer_that_knows_deciles_is_there(found: Results) -> None:
    records = deciles.records(found)
    assert [record["value"] for record in records if record["coder"] == "one"] == [1.0, 0.75, 1.0, 0.75, 1.0, 0.5]
    assert records[1] == {
        "coder": "one",
        "explainer": "pattern",
        "scorer": "detection",
        "metric": "sensitivity",
        "decile": 2,
        "value": 0.75,
    }
    assert {(record["scorer"], record["explainer"], record["metric"]) for record in records} == {
        ("detection", "pattern", "sensitivity"),
        ("detection", "llm", "sensitivity"),
        ("intruder", "", "accuracy"),
    }


def test_a_panel_for_every_scorer_and_explainer_and_a_line_for_every_coder(found: Results) -> None:
    records = deciles.records(found)
    drawn = Drawn(deciles.draw(records, "svg", LIGHT))
    assert [panel.said[-2:] for panel in drawn.panels] == [
        ["sensitivity", "detection of pattern"],
        ["sensitivity", "detection of llm"],
        ["accuracy", "intruder"],
    ]
    for panel in drawn.panels:
        shown = [r for r in records if r["scorer"] in panel.said[-1] and panel.said[-1].endswith(r["explainer"])]
        said = [f"{r['coder']}, decile {r['decile']}: {r['value']:.9g}" for r in shown]
        points = panel.marks["point"]
        assert sorted(mark.said for mark in points) == sorted(said)
        by_name = {mark.said: mark for mark in points}
        assert on_a_line([*panel.ticks, *((r["decile"], by_name[name].x) for r, name in zip(shown, said, strict=True))])
        assert on_a_line([(r["value"], by_name[name].y) for r, name in zip(shown, said, strict=True)])
        assert {mark.fill for mark in points} == set(LIGHT.series[:2])
    assert len(drawn.marks["point"]) == len(records)
    assert drawn.said[-2:] == ["one", "two"]


def test_an_explainer_that_is_alone_is_not_named(found: Results) -> None:
    only = [r for r in deciles.records(found) if r["explainer"] != "llm"]
    drawn = Drawn(deciles.draw(only, "svg", LIGHT))
    assert [panel.said[-1] for panel in drawn.panels] == ["detection", "intruder"]


def test_more_coders_than_colours_are_told_apart_by_dashes_and_shapes() -> None:
    record = {"explainer": "e", "scorer": "s", "metric": "AUROC"}
    names = [f"coder_{n}" for n in range(42)]
    records = [
        {**record, "coder": name, "decile": d, "value": v}
        for name in names
        for d, v in ((1, 0.9), (2, None), (10, 0.5))
    ]
    svg = deciles.draw(records, "svg", LIGHT)
    drawn = Drawn(svg)
    points = drawn.marks["point"]
    assert len(points) == 2 * 42, "what is unknown is not drawn"
    assert len({(mark.fill, mark.path) for mark in points}) == 42
    dashes = re.findall(rb'stroke-width="1.4" stroke-dasharray="([^"]+)"', svg)
    assert dashes == [*[b"1,0"] * 4, *[b"5,2"] * 4, *[b"1.5,2"] * 4] * 3 + [b"1,0"] * 4 + [b"5,2"] * 2
    assert [text for text in drawn.said if text in names] == names
    assert drawn.width < 700
    symbols = re.findall(rb'<path transform="[^"]+" d="([^"]+)" ([^>]+)', svg.split(b"role-legend", 1)[1])
    assert len(set(symbols)) == 42
    assert not any(b"dasharray" in look for _, look in symbols)


def test_without_deciles_it_says_so() -> None:
    assert Drawn(deciles.draw([], "svg", DARK)).said == ["No scorer tells deciles apart"]
