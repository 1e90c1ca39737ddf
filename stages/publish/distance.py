"""The figure of similarity by the distance of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stages.publish import figures
from stages.publish.figures import Format, Palette, Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RELATIONS = ("same place", "different places", "with a control")
WIDTH = 0.5
"""Of a layer distance's points side by side, in layers."""


class Measure(NamedTuple):
    """What a row of panels shows, and where records have its interval and its floor."""

    value: str
    title: str
    low: str
    high: str
    floor: str


MEASURES = (
    Measure("explanation_cosine", "cosine of explanations", "low", "high", "floor"),
    Measure("decoder_cosine", "cosine of decoder directions", "decoder_low", "decoder_high", "decoder_cosine_random"),
)


def draw(records: Records, kind: Format, palette: Palette) -> bytes:
    """Draws how alike matched latents are by the distance of their layers, one column per explainer.

    Above their explanations, below their directions, with intervals and floors. Pairs without a distance are left out.
    """
    return figures.picture(lambda: _draw(records, palette), kind, palette)


def _draw(records: Records, palette: Palette) -> Figure:
    known = [record for record in records if record["layer_distance"] is not None]
    explainers = list(dict.fromkeys(record["explainer"] for record in known))
    if not known:
        return figures.nothing("No two coders whose layers are known", palette)
    figure = figures.canvas(0.8 + max(1.6, min(3.2, 6.2 / len(explainers))) * len(explainers), 4.8)
    panels = figure.subplots(len(MEASURES), len(explainers), sharex=True, sharey="row", squeeze=False)
    for column, explainer in enumerate(explainers):
        chosen = [record for record in known if record["explainer"] == explainer]
        for row, measure in enumerate(MEASURES):
            panel = panels[row, column]
            _panel(panel, chosen, measure, palette)
            figures.heading(panel, explainer if row == 0 else "", measure.title, palette)
        panels[-1, column].set_xlabel("layers between the two coders")
    distances = sorted({record["layer_distance"] for record in known})
    panels[-1, 0].set_xticks(distances, [str(distance) for distance in distances])
    figures.legend(figure, figures.explained(panels.flat), palette)
    return figure


def _panel(panel: Axes, records: Records, measure: Measure, palette: Palette) -> None:
    panel.grid(axis="y", color=palette.grid, linewidth=0.8)
    panel.tick_params(length=0)
    places = _places(records)
    for number, relation in enumerate(RELATIONS):
        chosen = [r for r in records if r["relation"] == relation and r[measure.value] is not None]
        if not chosen:
            continue
        x, y = [places[r["a"], r["b"]] for r in chosen], [r[measure.value] for r in chosen]
        color, marker = palette.series[number], figures.MARKERS[number]
        ends = [
            [r[measure.value] - r[measure.low] for r in chosen],
            [r[measure.high] - r[measure.value] for r in chosen],
        ]
        panel.errorbar(
            x,
            y,
            yerr=ends,
            linestyle="none",
            marker=marker,
            markersize=4.5,
            elinewidth=1.3,
            color=color,
            label=relation,
        )
        known = [(place, r[measure.floor]) for place, r in zip(x, chosen, strict=True) if r[measure.floor] is not None]
        panel.plot(
            [place for place, _ in known],
            [floor for _, floor in known],
            linestyle="none",
            marker="_",
            markersize=7,
            markeredgewidth=1.3,
            color=palette.muted,
            label="floor: random pairs",
        )


def _places(records: Records) -> dict[tuple[str, str], float]:
    """Where each pair stands: those of one distance side by side."""
    found: dict[tuple[str, str], float] = {}
    by_distance: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        by_distance.setdefault(record["layer_distance"], []).append(record)
    for distance, chosen in by_distance.items():
        order = sorted(chosen, key=lambda record: RELATIONS.index(record["relation"]))
        for place, record in enumerate(order):
            found[record["a"], record["b"]] = distance + WIDTH * ((place + 0.5) / len(order) - 0.5)
    return found
