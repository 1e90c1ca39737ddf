"""The figures of scores and of similarities of all coders."""

from __future__ import annotations

from collections.abc import Sequence

from stages.figures import picture
from stages.figures.picture import SHAPES, Format, Palette, Records

PANELS = 3
"""Side by side."""
INTERVAL = "95 % interval"


def overview(records: Records, kind: Format, palette: Palette) -> bytes:
    """Draws the score of every coder, one panel per scorer, with its 95 % interval and its floor."""
    if not records:
        return picture.draw(picture.nothing("No scorers in params.yaml"), kind, palette)
    scorers, coders, explainers = (
        list(dict.fromkeys(r[key] for r in records)) for key in ("scorer", "coder", "explainer")
    )
    # What needs no explanation has the colour of none, and comes last; chance is its floor.
    explainers = sorted(explainers, key="".__eq__)
    colors = [
        palette.series[place % len(palette.series)] if name else palette.ink for place, name in enumerate(explainers)
    ]
    said = "(datum.label || 'without an explanation') + ', 95 % interval'"
    legend = {
        **picture.legend([f"{name or 'without an explanation'}, {INTERVAL}" for name in explainers]),
        "labelExpr": said,
    }
    spec = picture.filled(
        "overview.json",
        data=records,
        title=None,
        x="score",
        y="coder",
        color=picture.series("explainer", explainers, colors, legend),
    )
    spec["facet"]["sort"] = scorers
    spec["spec"]["encoding"]["y"]["scale"]["domain"] = coders
    # DVC would fill a placeholder of shapes with nothing, of which Vega-Lite warns.
    spec["spec"]["layer"][-1]["encoding"]["shape"] = picture.series("explainer", explainers, SHAPES, legend)
    width = picture.panels(coders, min(PANELS, len(scorers)), 180)
    spec["spec"] |= {"width": width, "height": {"step": 13 + 11 * (len(explainers) - ("" in explainers) or 1)}}
    return picture.draw(spec, kind, palette)


def similarity(records: Records, kind: Format, palette: Palette, coders: Sequence[str] | None = None) -> bytes:
    """Draws how alike the explanations of matched latents are, coder by coder, one panel per explainer.

    ``coders`` says in which order, by default that of the records; what the records do not hold is left empty.
    """
    names = list(coders or dict.fromkeys(record[side] for record in records for side in ("a", "b")))
    if not names or not records:
        return picture.draw(picture.nothing("No two coders were compared"), kind, palette)
    is_whole = len({frozenset({r["a"], r["b"]}) for r in records}) == len(names) * (len(names) - 1) // 2
    cells = [
        {
            "explainer": r["explainer"],
            "first": first,
            "second": second,
            "cosine": r["explanation_cosine"],
            "floor": r["floor"],
            "above": None if r["explanation_cosine"] is None else above(r["explanation_cosine"], r["floor"]),
        }
        for r in records
        for first, second in ((r["a"], r["b"]), (r["b"], r["a"]))
    ]
    size = max(46, 250 // len(names))
    wide = size * len(names) + 20
    spec = picture.filled(
        "similarity.json",
        data=cells,
        coders=names,
        size={"step": size},
        grid=palette.grid,
        ink=palette.ink,
        note=f"colour: from floor to 1{'' if is_whole else '; empty: not compared'}",
    )
    spec["columns"] = max(1, (picture.PAGE - picture.LETTER * max(map(len, names))) // wide)
    return picture.draw(spec, kind, palette)


def above(cosine: float, floor: float | None) -> float:
    """How much of the way from the floor to 1 a cosine has gone, from 0 to 1; without a floor that is 0."""
    least = 0.0 if floor is None else min(floor, 0.999)
    return min(max((cosine - least) / (1 - least), 0.0), 1.0)
