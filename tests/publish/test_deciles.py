from __future__ import annotations

from stages.publish import deciles, figures
from stages.publish.results import Results


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
    figure = deciles._draw(deciles.records(found), figures.LIGHT)
    shown = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title() for panel in shown] == ["detection, pattern", "detection, llm", "intruder"]
    assert [len(panel.lines) for panel in shown] == [2, 2, 2]
    assert shown[2].lines[0].get_ydata().tolist() == [1.0, 0.5]  # type: ignore[union-attr]
    assert b"No scorer tells deciles apart" in deciles.draw([], "svg", figures.DARK).replace(b"&#160;", b" ")
