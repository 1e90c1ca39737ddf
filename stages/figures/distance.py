"""The figure of similarity by the distance of layers."""

from __future__ import annotations

from typing import Any, NamedTuple

from stages.figures import picture
from stages.figures.picture import SHAPES, Format, Palette, Records

RELATIONS = ("same place", "different places", "with a control")
WIDTH = 0.5
"""Of a layer distance's points side by side, in layers."""


class Measure(NamedTuple):
    """What a row of panels shows, and where records have its value, its interval and its floor."""

    title: str
    value: str
    low: str
    high: str
    floor: str


MEASURES = (
    Measure("cosine of explanations", "explanation_cosine", "low", "high", "floor"),
    Measure("cosine of decoder directions", "decoder_cosine", "decoder_low", "decoder_high", "decoder_cosine_random"),
)


def draw(records: Records, kind: Format, palette: Palette) -> bytes:
    """Draws how alike matched latents are by the distance of their layers, one column per explainer.

    Above their explanations, below their directions, with intervals and floors. Pairs without a distance are left out.
    """
    known = [record for record in records if record["layer_distance"] is not None]
    shown = [measure for measure in MEASURES if any(record[measure.value] is not None for record in known)]
    if not shown:
        return picture.draw(picture.nothing("No two coders whose layers are known"), kind, palette)
    explainers = list(dict.fromkeys(record["explainer"] for record in known))
    distances = sorted({record["layer_distance"] for record in known})
    relations = [relation for relation in RELATIONS if any(record["relation"] == relation for record in known)]
    legend = {**picture.legend(relations), "values": relations}
    color, shape = (picture.series("relation", RELATIONS, values, legend) for values in (palette.series, SHAPES))
    rows = [
        picture.filled(
            "distance.json",
            data=points(known, measure),
            measure=measure.title,
            explainers=explainers,
            header={"labelAnchor": "start", "labelPadding": 3}
            if measure is shown[0]
            else {"labelExpr": "''", "labelFontSize": 1, "labelPadding": 0},
            columns=len(explainers),
            width=picture.panels([], len(explainers), 290),
            x_label="layers between the two coders" if measure is shown[-1] else None,
            distances=distances,
            ends=[distances[0] - 0.5 * WIDTH - 0.1, distances[-1] + 0.5 * WIDTH + 0.1],
            color=color,
            shape=shape,
        )
        for measure in shown
    ]
    return picture.draw({"vconcat": rows, "spacing": 4}, kind, palette)


def points(records: Records, measure: Measure) -> list[dict[str, Any]]:
    """Returns where the pairs of ``records`` stand, those of one distance side by side, and how alike they are by a measure."""
    found = []
    for record in records:
        rest = [
            r
            for r in records
            if (r["explainer"], r["layer_distance"]) == (record["explainer"], record["layer_distance"])
        ]
        order = sorted(rest, key=lambda one: RELATIONS.index(one["relation"]))
        shift = WIDTH * ((order.index(record) + 0.5) / len(order) - 0.5)
        found.append(
            {
                "said": f"{record['a']} \N{EN DASH} {record['b']}: {record[measure.value]}",
                "explainer": record["explainer"],
                "relation": record["relation"],
                "place": round(record["layer_distance"] + shift, 4),
                "value": record[measure.value],
                "low": record[measure.low],
                "high": record[measure.high],
                "floor": record[measure.floor],
            }
        )
    return found
