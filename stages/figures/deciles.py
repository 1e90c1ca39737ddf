"""The figure of scores by decile: do explanations hold for weak activations as well as for strong ones?"""

from __future__ import annotations

from typing import Any

from stages.figures import picture
from stages.figures.picture import DASHES, SHAPES, Format, Palette, Records
from stages.results.reading import Results
from stages.scorers.metrics import called

PANELS = 3
"""Side by side."""


def records(results: Results) -> list[dict[str, Any]]:
    """Returns a record for every decile, 1 the strongest, of every scorer that knows them; one of latents has no explainer."""
    found = []
    for coder in results.coders.values():
        scored = [(explainer, *pair) for explainer, scorers in coder.scores.items() for pair in scorers.items()]
        for explainer, scorer, scores in [*scored, *(("", *pair) for pair in coder.of_latents.items())]:
            metric, values = scores.by_decile()
            facts = {"coder": coder.name, "explainer": explainer, "scorer": scorer, "metric": called(metric)}
            found += [{**facts, "decile": decile, "value": value} for decile, value in values.items()]
    return found


def draw(found: Records, kind: Format, palette: Palette) -> bytes:
    """Draws a panel for every scorer and explainer, in it a line for every coder."""
    if not found:
        return picture.draw(picture.nothing("No scorer tells deciles apart"), kind, palette)
    coders = list(dict.fromkeys(record["coder"] for record in found))
    if len({record["explainer"] for record in found} - {""}) == 1:
        found = [{**record, "explainer": ""} for record in found]
    titles = [" of ".join(filter(None, (record["scorer"], record["explainer"]))) for record in found]
    shown = list(dict.fromkeys(titles))
    legend = picture.legend(coders)
    # By a number and not by coder, or the legend would draw its symbols with dashes.
    dash = {coder: place // len(palette.series) % len(DASHES) for place, coder in enumerate(coders)}
    spec = picture.filled(
        "deciles.json",
        data=[{**record, "dash": dash[record["coder"]]} for record in found],
        title=None,
        x="decile",
        x_label="decile, 1 the strongest",
        y="value",
        color=picture.series("coder", coders, palette.series, legend),
    )
    # For DVC, whose colours are revisions, every coder has a column of panels; what it leaves of shapes and dashes Vega-Lite warns of.
    header = {"labelAnchor": "start", "labelPadding": 3}
    spec |= {"facet": {**spec["facet"]["row"], "header": header, "sort": shown}, "columns": PANELS}
    spec["spec"] |= {"width": picture.panels([], min(PANELS, len(shown)), 190), "height": 115}
    *_, lines, points = spec["spec"]["layer"]
    lines["encoding"]["strokeDash"] = picture.series("dash", range(len(DASHES)), DASHES, None)
    points["encoding"]["shape"] = picture.series("coder", coders, SHAPES, legend)
    return picture.draw(spec, kind, palette)
