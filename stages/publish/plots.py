"""results/plots: what DVC plots, as flat records, and the same as figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.outputs import dumps
from stages.publish import distance, figures
from stages.publish.metrics import rounded
from stages.publish.results import Results

Records = list[dict[str, Any]]


def write(directory: Path, results: Results) -> None:
    """Writes scores.json, deciles.json and similarity.json, and overview, similarity and distance as SVG and PNG."""
    scores, similarity = score_records(results), similarity_records(results)
    records = {"scores": scores, "deciles": decile_records(results), "similarity": similarity}
    for name, rows in records.items():
        (directory / f"{name}.json").write_text(dumps(rounded(rows)), encoding="utf-8")
    kinds: tuple[figures.Format, ...] = ("svg", "png")
    for kind in kinds:
        (directory / f"overview.{kind}").write_bytes(figures.overview(scores, kind, figures.LIGHT))
        (directory / f"similarity.{kind}").write_bytes(figures.similarity(similarity, kind, figures.LIGHT))
        (directory / f"distance.{kind}").write_bytes(distance.draw(similarity, kind, figures.LIGHT))


def score_records(results: Results) -> Records:
    """One record for every coder, explainer and scorer, in the order of params.yaml."""
    return [
        {
            "coder": coder.name,
            "explainer": explainer,
            "scorer": scorer,
            "metric": scores.metric,
            "score": scores.overall("score"),
            "low": scores.overall("low"),
            "high": scores.overall("high"),
            "floor": scores.overall_floor,
        }
        for coder in results.coders.values()
        for explainer, scorers in coder.scores.items()
        for scorer, scores in scorers.items()
    ]


def decile_records(results: Results) -> Records:
    """One record for every decile, 1 the strongest, and its sensitivity: the share of its windows called active."""
    return [
        {"coder": coder.name, "scorer": scorer, "explainer": explainer, "decile": decile, "sensitivity": sensitivity}
        for coder in results.coders.values()
        for explainer, scorers in coder.scores.items()
        for scorer, scores in scorers.items()
        for decile, sensitivity in enumerate(scores.meta["deciles"], 1)
        if sensitivity is not None
    ]


def similarity_records(results: Results) -> Records:
    """One record for every pair of coders and explainer."""
    keys = (
        "a",
        "b",
        "explainer",
        "relation",
        "layer_distance",
        "explanation_cosine",
        "low",
        "high",
        "floor",
        "decoder_cosine",
    )
    return [{key: pair[key] for key in keys} for pair in results.pairs]
