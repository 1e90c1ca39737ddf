from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from matplotlib import rcParams

from stages.publish import distance, figures, plots
from stages.publish.results import Results
from tests.folders import tree


def test_records_by_hand(found: Results) -> None:
    scores = plots.score_records(found)
    assert len(scores) == 8 + 2
    assert scores[0] == {
        "coder": "one",
        "explainer": "pattern",
        "scorer": "detection",
        "metric": "balanced accuracy",
        "score": 0.8,
        "low": pytest.approx(0.7),
        "high": pytest.approx(0.9),
        "floor": 0.5,
        "chance": 0.5,
    }
    assert scores[4] | {"low": None, "high": None} == {
        "coder": "one",
        "explainer": "",
        "scorer": "intruder",
        "metric": "accuracy",
        "score": 0.75,
        "low": None,
        "high": None,
        "floor": 0.2,
        "chance": 0.2,
    }
    assert plots.similarity_records(found)[1] == {
        "a": "one",
        "b": "two",
        "explainer": "llm",
        "relation": "same place",
        "layer_distance": 1,
        "explanation_cosine": None,
        "low": None,
        "high": None,
        "floor": None,
        "decoder_cosine": None,
        "decoder_low": None,
        "decoder_high": None,
        "decoder_cosine_random": None,
    }


def test_the_folder_is_the_same_every_time_and_whatever_the_user_prefers(
    found: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plots.write(tmp_path / "a", found)
    monkeypatch.setitem(rcParams, "font.size", 31.0)
    plots.write(tmp_path / "b", found)
    assert rcParams["font.size"] == 31.0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    names = [
        "deciles.json",
        "deciles.png",
        "deciles.svg",
        "distance.png",
        "distance.svg",
        "measures.json",
        "overview.png",
        "overview.svg",
        "scores.json",
        "similarity.json",
        "similarity.png",
        "similarity.svg",
    ]
    assert list(tree(tmp_path / "a")) == names
    assert isinstance(json.loads((tmp_path / "a" / "scores.json").read_text()), list)
    deciles = json.loads((tmp_path / "a" / "deciles.json").read_text())
    assert [record["scorer"] for record in deciles] == (["detection"] * 4 + ["intruder"] * 2) * 2
    assert deciles[1]["metric"] == "sensitivity"
    assert deciles[1]["value"] == 0.75


def test_figures_fit_on_a_page_of_text(found: Results) -> None:
    scores = plots.score_records(found)
    many = [
        {**record, "scorer": f"{record['scorer']}{n}", "coder": f"a_coder_{m}"}
        for record in scores
        for n in range(3)
        for m in range(4)
    ]
    for png in (figures.overview(many, "png", figures.LIGHT), figures.overview(scores, "png", figures.LIGHT)):
        width, height = (int.from_bytes(png[place : place + 4], "big") / 160 for place in (16, 20))
        assert 2 < width < 7.3
        assert 1 < height < 18


def test_what_needs_no_explanation_is_drawn_in_the_colour_of_none(found: Results) -> None:
    figure = figures._overview(plots.score_records(found), figures.LIGHT)
    titles = [panel.get_title() for panel in figure.axes if panel.get_visible()]
    assert titles == ["detection", "embedding", "intruder"]
    assert [line.get_color() for line in figure.axes[2].lines if len(line.get_xdata()) == 2][-1] == figures.LIGHT.ink
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "chance",
        "floor: another latent's explanation",
        "pattern, 95 % interval",
        "llm, 95 % interval",
        "without an explanation, 95 % interval",
    ]


def test_pictures_say_nothing_of_when_or_by_what_they_were_made(found: Results) -> None:
    svg = figures.overview(plots.score_records(found), "svg", figures.LIGHT)
    png = figures.overview(plots.score_records(found), "png", figures.LIGHT)
    assert b"<dc:date>" not in svg
    assert b"Matplotlib" not in svg
    assert b"tEXt" not in png


def test_pictures_without_anything_to_show_can_be_drawn() -> None:
    unscored = {
        "coder": "a",
        "explainer": "e",
        "scorer": "s",
        "metric": "AUROC",
        "score": None,
        "low": None,
        "high": None,
        "floor": None,
        "chance": None,
    }
    for records in ([], [unscored]):
        assert figures.overview(records, "svg", figures.DARK).startswith(b"<?xml")
    assert figures.similarity([], "svg", figures.DARK).startswith(b"<?xml")
    assert b"No two coders whose layers are known" in distance.draw([], "svg", figures.DARK).replace(b"&#160;", b" ")


@pytest.mark.parametrize("palette", [figures.LIGHT, figures.DARK])
def test_colours_can_be_read(palette: figures.Palette) -> None:
    for text in (palette.ink, palette.muted):
        assert figures.contrast(text, palette.background) >= 4.5
    for color in palette.series:
        assert figures.contrast(color, palette.background) >= 3
    for face in palette.ramp:
        assert max(figures.contrast(ink, face) for ink in (palette.ink, palette.background)) >= 4.5
    assert all(a != b for a, b in itertools.combinations(palette.series, 2))


def test_contrast_by_hand() -> None:
    assert figures.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert figures.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def record(a: str, b: str, relation: str, layers: int | None, cosine: float | None = 0.5) -> dict:
    ends = {"low": None, "high": None, "floor": None} if cosine is None else {"low": 0.4, "high": 0.6, "floor": 0.3}
    measures = {"explanation_cosine": cosine, "decoder_cosine": 0.2}
    measures |= {"decoder_low": 0.1, "decoder_high": 0.3, "decoder_cosine_random": 0.0}
    return {"a": a, "b": b, "explainer": "e", "relation": relation, "layer_distance": layers, **measures, **ends}


def test_pairs_of_one_distance_stand_side_by_side() -> None:
    records = [record(*"ab", "with a control", 1), record(*"ac", "same place", 1), record(*"bc", "same place", 2)]
    places = distance._places(records)
    assert places == {("a", "c"): 0.875, ("a", "b"): 1.125, ("b", "c"): 2.0}


def test_similarity_by_distance_leaves_out_what_is_unknown() -> None:
    records = [
        record(*"ab", "same place", 0),
        record(*"ac", "with a control", 2, None),
        record(*"bc", "different subjects", None),
    ]
    figure = distance._draw(records, figures.LIGHT)
    above, below = figure.axes
    assert [label.get_text() for label in below.get_xticklabels()] == ["0", "2"]
    assert [len(line.get_xdata()) for line in above.lines] == [1, 1], "one point and its floor"
    assert [len(line.get_xdata()) for line in below.lines] == [1, 1, 1, 1]
    ((low, high),) = below.collections[0].get_segments()
    assert (low[1], high[1]) == pytest.approx((0.1, 0.3))
    assert distance.draw(records, "png", figures.DARK).startswith(b"\x89PNG")


def test_fields_of_coders_that_were_not_compared_are_empty() -> None:
    records = [record(*"ac", "same place", 1), record(*"cb", "same place", 1, None)]
    figure = figures._similarity(records, figures.LIGHT, "abc")
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["a", "b", "c"]
    assert len(panel.patches) == 4, "both ways"
    subtitle = panel.texts[-1].get_text()
    assert subtitle.endswith("colour: from floor to 1; empty: not compared")
    whole = figures._similarity([*records, record(*"ab", "same place", 1)], figures.LIGHT, "abc")
    assert not any("empty" in text.get_text() for text in whole.axes[0].texts)


def test_a_cosine_is_coloured_by_how_far_it_is_above_its_floor() -> None:
    assert figures._above(0.75, 0.5) == pytest.approx(0.5)
    assert (figures._above(0.4, 0.5), figures._above(1.0, 0.5), figures._above(0.25, None)) == (0, 1, 0.25)
    assert figures._above(1.0, 1.0) == 1
