"""The figure of scores by decile: do explanations hold for weak activations as well as for strong ones?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.publish import figures
from stages.publish.figures import Format, Palette, Records
from stages.publish.results import Results
from stages.scorers.metrics import called

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    return figures.picture(lambda: _draw(found, palette), kind, palette)


def _draw(found: Records, palette: Palette) -> Figure:
    shown = list(dict.fromkeys((record["scorer"], record["explainer"]) for record in found))
    coders = list(dict.fromkeys(record["coder"] for record in found))
    explainers = {explainer for _, explainer in shown if explainer}
    if not shown:
        return figures.nothing("No scorer tells deciles apart", palette)
    columns = min(PANELS, len(shown))
    rows = -(-len(shown) // columns)
    figure = figures.canvas(0.4 + 2.15 * columns, 0.5 + 1.85 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, (scorer, explainer) in zip(panels, shown, strict=False):
        chosen = [record for record in found if (record["scorer"], record["explainer"]) == (scorer, explainer)]
        _panel(panel, chosen, coders, palette)
        title = f"{scorer}, {explainer}" if explainer and len(explainers) > 1 else scorer
        figures.heading(panel, title, chosen[0]["metric"], palette)
    for panel in panels[len(shown) :]:
        panel.set_visible(False)
    panels[0].set_xticks([1, 4, 7, 10])
    for panel in panels[max(0, len(shown) - columns) : len(shown)]:
        panel.set_xlabel("decile, 1 the strongest")
    panels[0].set_ylim(0, 1.03)
    figures.legend(figure, figures.explained(panels), palette)
    return figure


def _panel(panel: Axes, found: Records, coders: list[str], palette: Palette) -> None:
    panel.grid(axis="y", color=palette.grid, linewidth=0.8)
    panel.tick_params(length=0, labelbottom=True)
    for place, coder in enumerate(coders):
        chosen = [record for record in found if record["coder"] == coder]
        panel.plot(
            [record["decile"] for record in chosen],
            [record["value"] for record in chosen],
            color=palette.series[place % len(palette.series)],
            marker=figures.MARKERS[place % len(figures.MARKERS)],
            markersize=3,
            linewidth=1.1,
            linestyle=figures.DASHES[place // len(palette.series) % len(figures.DASHES)],
            label=coder,
        )
