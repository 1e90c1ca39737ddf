"""Sparse coders beside their controls: neurons, random directions, and a subject that was never trained.

A score means what it has over these (Paulo et al., arXiv 2410.13928, table A10 and appendix G.3; Heap et al., arXiv 2501.17727).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from stages.publish import picture
from stages.publish.picture import SHAPES, Format, Palette, Records
from stages.publish.results import CoderResults, Results, Scores
from stages.scorers.metrics import Figure, mean

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
    """Draws the score of every coder with interval and floor, a panel for every scorer and explainer."""
    scored = {(record["explainer"], record["scorer"]) for record in found if record["score"] is not None}
    found = [record for record in found if (record["explainer"], record["scorer"]) in scored]
    if not found:
        return picture.draw(picture.nothing("No coder has a score"), kind, palette)
    explainers = {record["explainer"] for record in found}
    coders = {record["coder"]: record["subject"] for record in found}
    names = {record["coder"]: [record["coder"], described(record)] for record in found}
    places: list[str] = sorted(coders, key=lambda name: SUBJECTS.index(coders[name]))
    if len(set(coders.values())) == len(SUBJECTS):
        # Those of the subject that was never trained stand apart: a row in between has no name.
        places.insert(sum(subject == "trained" for subject in coders.values()), "")
    title = "datum.scorer" if len(explainers) == 1 else "datum.scorer + ' of ' + datum.explainer"
    shown = list(
        dict.fromkeys(f"{r['scorer']} of {r['explainer']}" if len(explainers) > 1 else r["scorer"] for r in found)
    )
    faces = {"trained": palette.muted, "random": palette.background}
    subjects = [subject for subject in SUBJECTS if subject in coders.values()]
    colors = dict(zip(KINDS, palette.series, strict=False))
    spec = picture.filled(
        "controls.json",
        data=[
            {
                **r,
                "subject": SUBJECT[r["subject"]],
                "face": colors[r["kind"]] if r["subject"] == "trained" else palette.background,
            }
            for r in found
        ],
        panel=title,
        panels=shown,
        coders=places,
        labels=f"{json.dumps(names)}[datum.value]",
        width=picture.panels([text for lines in names.values() for text in lines], min(PANELS, len(shown)), 180),
        color=picture.series("kind", KINDS, palette.series, None),
        shape=picture.series("kind", KINDS, SHAPES, None),
        subjects=[SUBJECT[subject] for subject in subjects],
        faces=[faces[subject] for subject in subjects],
    )
    return picture.draw(spec, kind, palette)
