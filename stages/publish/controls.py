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


def table(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns a row for every coder and explainer: the facts of its first record, and ``scores``, its records by scorer."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for record in found:
        row = rows.setdefault(
            (record["coder"], record["explainer"]), {**record, "what": described(record), "scores": {}}
        )
        row["scores"][record["scorer"]] = record
    return list(rows.values())


def draw(found: Records, kind: Format, palette: Palette) -> bytes:
    """Draws the score of every coder with interval and floor, a column per scorer, a row per explainer."""
    return figures.picture(lambda: _draw(found, palette), kind, palette)


def _draw(found: Records, palette: Palette) -> Canvas:
    coders = list(dict.fromkeys((record["coder"], record["subject"]) for record in found))
    scorers, explainers = (list(dict.fromkeys(record[key] for record in found)) for key in ("scorer", "explainer"))
    trained = sum(subject == "trained" for _, subject in coders)
    # Those of the subject that was never trained stand apart.
    heights = {name: place + (0.6 if place >= trained > 0 else 0) for place, (name, _) in enumerate(coders)}
    figure = figures.canvas(2.1 + 2.5 * len(scorers), len(explainers) * (1.0 + 0.36 * len(coders)) + 0.5)
    one_scale = {record["chance"] for record in found} == {figures.CHANCE}  # other metrics have scales of their own
    panels = figure.subplots(len(explainers), len(scorers), sharex=one_scale or "col", sharey=True, squeeze=False)
    for row, explainer in enumerate(explainers):
        for column, scorer in enumerate(scorers):
            panel = panels[row, column]
            chosen = [r for r in found if (r["explainer"], r["scorer"]) == (explainer, scorer)]
            _panel(panel, [r for r in chosen if r["score"] is not None], heights, palette)
            title = scorer if len(explainers) == 1 else f"{scorer}, {explainer}"
            if chosen:
                figures.heading(panel, title, chosen[0]["metric"], palette)
            else:
                panel.set_visible(False)  # the scorer judges no explanations, or only explanations
    names = {record["coder"]: f"{record['coder']}\n{described(record)}" for record in found}
    panels[0, 0].set_yticks(list(heights.values()), [names[name] for name in heights])
    panels[0, 0].set_ylim(max(heights.values()) + 0.5, -0.5)
    for panel in panels.flat:
        panel.locator_params(axis="x", nbins=5)
    handles = _handles(palette, {record["subject"] for record in found})
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8.5, labelcolor=palette.muted
    )
    return figure


def _handles(palette: Palette, subjects: set[str]) -> list[Line2D]:
    """What the legend explains; the kinds are named beside the panels."""
    from matplotlib.lines import Line2D

    def handle(label: str, **style: Any) -> Line2D:
        return Line2D([], [], color=palette.muted, label=label, **{"linestyle": "none", **style})

    faces = {"trained": palette.muted, "random": palette.background}
    return [
        *(handle(SUBJECT[s], marker="o", markerfacecolor=faces[s]) for s in SUBJECTS if s in subjects),
        handle("floor: another latent's explanation", marker="|", markersize=10, markeredgewidth=1.6),
        handle("chance", linestyle=CHANCE, linewidth=0.9),
    ]


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
        markersize=10,
        markeredgewidth=1.6,
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
            markersize=6.5,
            elinewidth=2,
            color=color,
            markerfacecolor=color if record["subject"] == "trained" else palette.background,
            markeredgewidth=1.6,
        )
