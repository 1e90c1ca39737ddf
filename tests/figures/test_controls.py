from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stages.figures import controls, plots
from stages.figures.picture import DARK, LIGHT
from stages.results.reading import CoderResults, Results, Score, Scores
from stages.site import overview
from tests.figures.drawn import Drawn, on_a_line

NEURONS = {"format": "neurons", "k": 32}


def furnish(found: Results, **coders: tuple[dict, str]) -> Results:
    """The coders of ``found``, after the first as many as named here, with what they are and the weights of their subject."""
    one = found.coders["one"]
    made: dict[str, CoderResults] = {"one": one}
    for name, (facts, weights) in coders.items():
        meta = {**one.meta, "coder": facts, "subject": {"model": "demo/subject", "weights": weights}}
        made[name] = replace(one, name=name, meta=meta)
    return replace(found, coders=made)


def score(value: float | None) -> Score:
    return Score(value, value, value, 9, 0, None if value is not None else "why")


def test_without_a_control_there_is_nothing_beside_which_to_put_it(found: Results, tmp_path: Path) -> None:
    assert controls.records(found) == []
    assert controls.records(furnish(found, other=({"format": "saelens"}, "trained"))) == []
    plots.write(tmp_path, found)
    assert not list(tmp_path.glob("controls*"))
    assert "controls" not in overview.index(found, {})


def test_records_come_by_subject_and_then_by_kind(found: Results) -> None:
    several = furnish(
        found,
        untrained_neurons=(NEURONS, "random"),
        random=({"format": "random", "k": 16}, "trained"),
        neurons=(NEURONS, "trained"),
        untrained=({"format": "sparsify"}, "random"),
    )
    records = controls.records(several)
    assert list(dict.fromkeys(r["coder"] for r in records)) == [
        "one",
        "neurons",
        "random",
        "untrained",
        "untrained_neurons",
    ]
    assert len(records) == 5 * 4, "two explainers, two scorers"
    assert records[4] == {
        "coder": "neurons",
        "hookpoint": "layers.0",
        "subject": "trained",
        "kind": "neurons",
        "k": 32,
        "explainer": "pattern",
        "scorer": "detection",
        "metric": "balanced accuracy",
        "chance": 0.5,
        "score": 0.8,
        "low": pytest.approx(0.7),
        "high": pytest.approx(0.9),
        "floor": 0.5,
        "above": pytest.approx(0.3),
        "above_low": pytest.approx(0.3),
        "above_high": pytest.approx(0.3),
        "latents": 1,
    }
    detection, embedding = controls.tables(records)
    assert (detection["scorer"], detection["metric"]) == ("detection", "balanced accuracy")
    assert [row["what"] for row in detection["rows"][::2]] == [
        "sparse coder",
        "top 32 neurons",
        "random directions, k = 16",
        "sparse coder",
        "top 32 neurons",
    ]
    assert embedding["rows"][0]["explainer"] == "pattern"
    assert {**records[1], "what": "sparse coder"} == embedding["rows"][0]


def test_above_is_a_mean_over_latents_that_have_both() -> None:
    own = {1: score(0.9), 2: score(0.6), 3: score(None), 4: score(0.7)}
    floor = {1: score(0.5), 2: score(0.5), 3: score(0.5), 4: score(None)}
    above = controls._above(Scores({"overall": {"shuffled": {}}}, own, floor))
    assert above.value == pytest.approx((0.4 + 0.1) / 2)
    assert above.low == pytest.approx(0.1)
    assert above.high == pytest.approx(0.4)
    assert controls._above(Scores({"overall": {"shuffled": {}}}, {1: score(None)}, {})).value is None


def test_they_are_in_plots_and_on_the_page(found: Results, tmp_path: Path) -> None:
    several = furnish(found, neurons=(NEURONS, "trained"), untrained_neurons=(NEURONS, "random"))
    plots.write(tmp_path, several)
    assert {file.name for file in tmp_path.glob("controls*")} == {"controls.json", "controls.svg", "controls.png"}
    assert len(json.loads((tmp_path / "controls.json").read_text())) == 12
    html = " ".join(overview.index(several, {}).split())
    assert "<h2>Sparse coders and controls</h2>" in html
    assert "top 32 neurons, pattern</span>" in html
    above = '+0.300<br><span class="muted small">+0.300 to +0.300</span>'
    scored = '<b>0.800</b><br><span class="muted small">0.700\N{EN DASH}0.900</span>'
    assert f'<td class="number">{scored}</td> <td class="number">0.500</td> <td class="number">{above}</td>' in html
    assert html.count('<span class="muted">subject never trained</span>') == 2, "once for each scorer"


def test_the_figure_shows_every_score_with_its_floor(found: Results) -> None:
    several = furnish(found, neurons=(NEURONS, "trained"), untrained_neurons=(NEURONS, "random"))
    records = controls.records(several)
    unscored = {**records[0], "score": None, "low": None, "high": None, "floor": None}
    drawn = Drawn(controls.draw([unscored, *records[1:]], "svg", LIGHT))
    names = ["one\nsparse coder", "neurons\ntop 32 neurons", "", "untrained_neurons\ntop 32 neurons"]
    assert drawn.said[:4] == names, "what was never trained stands apart"
    titles = ["detection of pattern", "embedding of pattern", "detection of llm", "embedding of llm"]
    assert [panel.said[-1] for panel in drawn.panels] == titles
    first, _, third, _ = (panel.marks["point"] for panel in drawn.panels)
    said = [
        "one, trained subject: 0.8",
        "neurons, trained subject: 0.8",
        "untrained_neurons, subject never trained: 0.8",
    ]
    assert [mark.said for mark in first] == said[1:]
    assert [mark.said for mark in third] == said
    assert [(mark.fill, mark.stroke) for mark in third] == [
        (LIGHT.series[0], LIGHT.series[0]),
        (LIGHT.series[1], LIGHT.series[1]),
        (LIGHT.background, LIGHT.series[1]),
    ]
    assert on_a_line([*drawn.panels[2].ticks, *((0.8, mark.x) for mark in third)])
    floors = drawn.panels[2].marks["tick"]
    assert on_a_line([*drawn.panels[2].ticks, *((0.5, mark.x) for mark in floors)])
    assert [mark.y for mark in floors] == pytest.approx([mark.y for mark in third])
    assert third[2].y - third[1].y == pytest.approx(2 * (third[1].y - third[0].y))
    legend = ["chance", "floor: another latent's explanation", "trained subject", "subject never trained"]
    assert drawn.said[-4:] == legend


def test_the_figure_of_one_kind_of_subject_or_of_no_score_can_be_drawn(found: Results) -> None:
    records = controls.records(furnish(found, neurons=(NEURONS, "trained")))
    only = Drawn(controls.draw([{**r, "subject": "random"} for r in records], "svg", DARK))
    assert only.said[:2] == ["one\nsparse coder", "neurons\ntop 32 neurons"]
    assert "trained subject" not in only.said
    none = Drawn(controls.draw([{**r, "score": None} for r in records], "svg", DARK))
    assert none.said == ["No coder has a score"]
