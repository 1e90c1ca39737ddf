"""The figure of similarity by the distance of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.publish import figures
from stages.publish.figures import Format, Palette, Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RELATIONS = ("same place", "different places", "with a control")
MEASURES = {"explanation_cosine": "cosine of explanations", "decoder_cosine": "cosine of decoder directions"}
WIDTH = 0.5
"""Of a layer distance's points side by side, in layers."""


def draw(records: Records, kind: Format, palette: Palette) -> bytes:
    """Draws how alike matched latents are by the distance of their layers, one column per explainer.

    Above their explanations, with interval and floor, below their directions. Pairs without a distance are left out.
    """
    return figures.picture(lambda: _draw(records, palette), kind, palette)


def _draw(records: Records, palette: Palette) -> Figure:
    known = [record for record in records if record["layer_distance"] is not None]
    explainers = list(dict.fromkeys(record["explainer"] for record in known))
    if not known:
        return figures.nothing("No two coders whose layers are known", palette)
    figure = figures.canvas(1.2 + 4.2 * len(explainers), 6.4)
    panels = figure.subplots(len(MEASURES), len(explainers), sharex=True, sharey="row", squeeze=False)
    for column, explainer in enumerate(explainers):
        chosen = [record for record in known if record["explainer"] == explainer]
        for row, (measure, name) in enumerate(MEASURES.items()):
            panel = panels[row, column]
            _panel(panel, chosen, measure, palette)
            figures.heading(panel, explainer if row == 0 else "", name, palette)
        panels[-1, column].set_xlabel("layers between the two coders")
    distances = sorted({record["layer_distance"] for record in known})
    panels[-1, 0].set_xticks(distances, [str(distance) for distance in distances])
    handles = {
        label: handle for panel in panels.flat for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=len(handles),
        fontsize=8.5,
        labelcolor=palette.muted,
    )
    return figure


def _panel(panel: Axes, records: Records, measure: str, palette: Palette) -> None:
    panel.grid(axis="y", color=palette.grid, linewidth=0.8)
    panel.tick_params(length=0)
    places = _places(records)
    for number, relation in enumerate(RELATIONS):
        chosen = [r for r in records if r["relation"] == relation and r[measure] is not None]
        if not chosen:
            continue
        x, y = [places[r["a"], r["b"]] for r in chosen], [r[measure] for r in chosen]
        color, marker = palette.series[number], figures.MARKERS[number]
        if measure != "explanation_cosine":
            panel.plot(x, y, linestyle="none", marker=marker, markersize=6, color=color, label=relation)
            continue
        ends = [[r[measure] - r["low"] for r in chosen], [r["high"] - r[measure] for r in chosen]]
        panel.errorbar(
            x, y, yerr=ends, linestyle="none", marker=marker, markersize=6, elinewidth=1.6, color=color, label=relation
        )
        floors = [r["floor"] for r in chosen]
        panel.plot(
            x,
            floors,
            linestyle="none",
            marker="_",
            markersize=9,
            markeredgewidth=1.6,
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
