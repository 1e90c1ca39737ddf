"""Sparse coders beside their controls: neurons, random directions, and a subject that was never trained.

A score means what it has over these (Paulo et al., arXiv 2410.13928, table A10 and appendix G.3; Heap et al., arXiv 2501.17727).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stages.publish import figures
from stages.publish.figures import Format, Palette, Records
from stages.publish.results import CoderResults, Results, Scores
from stages.scorers.metrics import Figure, mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.lines import Line2D

CODER, NEURONS, RANDOM = "sparse coder", "neurons", "random directions"
KINDS = (CODER, NEURONS, RANDOM)
SUBJECTS = ("trained", "random")
PANELS = 3
"""Side by side."""
CHANCE = (0, (3, 2))
"""How the line of chance is dashed."""
SUBJECT = {"trained": "trained subject", "random": "subject never trained"}


def records(results: Results) -> list[dict[str, Any]]:
    """Returns one record for every coder, explainer and scorer, or none unless there is a control beside something else.

    They come by subject, then by kind, then as in params.yaml. ``above`` is the score minus the floor, a mean over the latents that
    have both, with its 95 % interval.
    """
    found = []
    for coder in results.coders.values():
        facts = {
            "coder": coder.name,
            "hookpoint": coder.hookpoint,
            "subject": coder.meta["subject"]["weights"],
            **_kind(coder),
        }
        for explainer, scorers in coder.scores.items():
            for scorer, scores in scorers.items():
                above = _above(scores)
                found.append(
                    {
                        **facts,
                        "explainer": explainer,
                        "scorer": scorer,
                        "metric": scores.metric,
                        "chance": scores.chance,
                        "score": scores.overall("score"),
                        "low": scores.overall("low"),
                        "high": scores.overall("high"),
                        "floor": scores.overall_floor,
                        "above": above.value,
                        "above_low": above.low,
                        "above_high": above.high,
                        "latents": scores.overall("n_latents"),
                    }
                )
    if len({(record["kind"], record["subject"]) for record in found}) < 2:
        return []
    return sorted(found, key=lambda record: (SUBJECTS.index(record["subject"]), KINDS.index(record["kind"])))


def _kind(coder: CoderResults) -> dict[str, Any]:
    """What a coder is, and its k if it has one."""
    facts = coder.meta.get("coder", {})
    kind = {"neurons": NEURONS, "random": RANDOM}.get(facts.get("format"), CODER)
    return {"kind": kind, "k": facts.get("k")}


def _above(scores: Scores) -> Figure:
    """How far latents score above their own floors."""
    pairs = [(score.score, scores.floor_of(latent)) for latent, score in scores.own.items()]
    differences = [score - floor for score, floor in pairs if score is not None and floor is not None]
    return mean(np.array(differences, dtype=np.float64), np.random.default_rng(0))


def described(record: dict[str, Any]) -> str:
    """What a record's coder is, in words: ``top 32 neurons``."""
    kind, k = record["kind"], record["k"]
    if k is None:
        return kind
    return f"top {k} {kind}" if kind == NEURONS else f"{kind}, k = {k}"


def tables(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns ``scorer``, ``metric`` and ``rows`` for every scorer: its records, and in words what their coders are."""
    by_scorer: dict[str, dict[str, Any]] = {}
    for record in found:
        scorer, metric = record["scorer"], record["metric"]
        one = by_scorer.setdefault(scorer, {"scorer": scorer, "metric": metric, "rows": []})
        one["rows"].append({**record, "what": described(record)})
    return list(by_scorer.values())


def draw(found: Records, kind: Format, palette: Palette) -> bytes:
    """Draws the score of every coder with interval and floor, a column per scorer, a row per explainer."""
    return figures.picture(lambda: _draw(found, palette), kind, palette)


def _draw(found: Records, palette: Palette) -> Canvas:
    coders = list(dict.fromkeys((record["coder"], record["subject"]) for record in found))
    shown = list(dict.fromkeys((record["explainer"], record["scorer"]) for record in found))
    explainers = {explainer for explainer, _ in shown}
    trained = sum(subject == "trained" for _, subject in coders)
    # Those of the subject that was never trained stand apart.
    heights = {name: place + (0.6 if place >= trained > 0 else 0) for place, (name, _) in enumerate(coders)}
    columns = min(PANELS, len({scorer for _, scorer in shown}))
    rows = -(-len(shown) // columns)
    figure = figures.canvas(1.7 + 1.75 * columns, rows * (0.8 + 0.3 * len(coders)) + 0.4)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel, (explainer, scorer) in zip(panels, shown, strict=False):
        chosen = [record for record in found if (record["explainer"], record["scorer"]) == (explainer, scorer)]
        _panel(panel, [record for record in chosen if record["score"] is not None], heights, palette)
        title = scorer if len(explainers) == 1 else f"{scorer}, {explainer}"
        figures.heading(panel, title, chosen[0]["metric"], palette)
        panel.locator_params(axis="x", nbins=4)
    for panel in panels[len(shown) :]:
        panel.set_visible(False)
    names = {record["coder"]: f"{record['coder']}\n{described(record)}" for record in found}
    panels[0].set_yticks(list(heights.values()), [names[name] for name in heights])
    panels[0].set_ylim(max(heights.values()) + 0.5, -0.5)
    figures.legend(figure, _handles(palette, {record["subject"] for record in found}), palette)
    return figure


def _handles(palette: Palette, subjects: set[str]) -> dict[str, Line2D]:
    """What the legend explains; the kinds are named beside the panels."""
    from matplotlib.lines import Line2D

    def handle(**style: Any) -> Line2D:
        return Line2D([], [], color=palette.muted, **{"linestyle": "none", **style})

    faces = {"trained": palette.muted, "random": palette.background}
    return {
        **{SUBJECT[s]: handle(marker="o", markersize=4.5, markerfacecolor=faces[s]) for s in SUBJECTS if s in subjects},
        "floor: another latent's explanation": handle(marker="|", markersize=7, markeredgewidth=1.3),
        "chance": handle(linestyle=CHANCE, linewidth=0.9),
    }


def _panel(panel: Axes, found: Records, heights: dict[str, float], palette: Palette) -> None:
    panel.grid(axis="x", color=palette.grid, linewidth=0.8)
    for chance in {record["chance"] for record in found} - {None}:
        panel.axvline(chance, color=palette.muted, linewidth=0.9, linestyle=CHANCE, zorder=2)
    panel.tick_params(length=0, labelbottom=True)
    floors = [(r["floor"], heights[r["coder"]]) for r in found if r["floor"] is not None]
    panel.plot(
        [floor for floor, _ in floors],
        [height for _, height in floors],
        linestyle="none",
        marker="|",
        markersize=7,
        markeredgewidth=1.3,
        color=palette.muted,
    )
    for record in found:
        color = palette.series[KINDS.index(record["kind"])]
        ends = [
            [abs(record["score"] - (record["score"] if record[end] is None else record[end]))]
            for end in ("low", "high")
        ]
        panel.errorbar(
            [record["score"]],
            [heights[record["coder"]]],
            xerr=ends,
            linestyle="none",
            marker=figures.MARKERS[KINDS.index(record["kind"])],
            markersize=4.5,
            elinewidth=1.4,
            color=color,
            markerfacecolor=color if record["subject"] == "trained" else palette.background,
            markeredgewidth=1.2,
        )
