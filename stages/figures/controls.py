"""Sparse coders beside their controls: neurons, random directions, and a subject that was never trained.

A score means what it has over these (Paulo et al., arXiv 2410.13928, table A10 and appendix G.3; Heap et al., arXiv 2501.17727).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from stages.bootstrap import Figure, mean
from stages.figures import picture
from stages.figures.picture import SHAPES, Format, Palette, Records
from stages.results.reading import CoderResults, Results, Scores

CODER, NEURONS, RANDOM = "sparse coder", "neurons", "random directions"
KINDS = (CODER, NEURONS, RANDOM)
SUBJECTS = ("trained", "random")
PANELS = 3
"""Side by side."""
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
    return mean(np.array(differences, dtype=np.float64), np.random.default_rng(0), "no latent has a score")


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
    """Draws the score of every coder with interval and floor, a panel for every scorer and explainer."""
    scored = {(record["explainer"], record["scorer"]) for record in found if record["score"] is not None}
    explainers = {explainer for explainer, _ in scored}
    colors = dict(zip(KINDS, palette.series, strict=False))
    faces = {"trained": palette.muted, "random": palette.background}
    records = [
        {
            **record,
            "scorer": f"{record['scorer']} of {record['explainer']}" if len(explainers) > 1 else record["scorer"],
            "subject": SUBJECT[record["subject"]],
            "explainer": SUBJECT[record["subject"]],  # what a point says of itself, beside its coder and score
            "face": colors[record["kind"]] if record["subject"] == "trained" else palette.background,
        }
        for record in found
        if (record["explainer"], record["scorer"]) in scored
    ]
    if not records:
        return picture.draw(picture.nothing("No coder has a score"), kind, palette)
    shown = list(dict.fromkeys(record["scorer"] for record in records))
    names = {record["coder"]: [record["coder"], described(record)] for record in records}
    by_subject = {weights: [r["coder"] for r in records if r["subject"] == said] for weights, said in SUBJECT.items()}
    subjects = [weights for weights, coders in by_subject.items() if coders]
    # Those of the subject that was never trained stand apart: a row in between has no name.
    rows = [name for weights in subjects for name in ("", *dict.fromkeys(by_subject[weights]))][1:]
    spec = picture.filled(
        "overview.json",
        data=records,
        title=None,
        x="score",
        y="coder",
        color=picture.series("kind", KINDS, palette.series, None),
    )
    spec["facet"]["sort"] = shown
    panel = spec["spec"]
    width = picture.panels([line for lines in names.values() for line in lines], min(PANELS, len(shown)), 180)
    panel |= {"width": width, "height": {"step": 31}}
    label = {"labelExpr": f"{json.dumps(names)}[datum.value]", "labelOffset": -6.5}
    panel["encoding"]["y"] |= {"scale": {"domain": rows}, "axis": label}
    points = panel["layer"][-1]
    points["mark"] |= {"filled": False, "strokeWidth": 1.5}
    points["encoding"]["fill"] = {"field": "face", "type": "nominal", "scale": None}
    points["encoding"]["shape"] = picture.series("kind", KINDS, SHAPES, None)
    legend = {**picture.legend(list(SUBJECT.values())), "symbolOpacity": 1}
    explained = picture.series(
        "subject", [SUBJECT[weights] for weights in subjects], [faces[weights] for weights in subjects], legend
    )
    panel["layer"].append({"mark": {"type": "point", "opacity": 0, "aria": False}, "encoding": {"fill": explained}})
    return picture.draw(spec, kind, palette)
