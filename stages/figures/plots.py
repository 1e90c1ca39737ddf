"""results/plots: what DVC plots, as flat records, and the same as figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.figures import controls, deciles, distance
from stages.figures import overview as figures
from stages.figures.picture import LIGHT, Format
from stages.outputs import dumps
from stages.results.metrics import measures, rounded
from stages.results.reading import Results

Records = list[dict[str, Any]]


def write(directory: Path, results: Results) -> None:
    """Writes scores.json, deciles.json and similarity.json, and overview, similarity and distance as SVG and PNG; measures.json.

    Where scorers know deciles, also deciles as SVG and PNG; where there are controls beside coders, controls.json and controls.
    """
    scores, similarity = score_records(results), similarity_records(results)
    pairs = of_matched(similarity) or similarity
    by_decile = deciles.records(results)
    records = {"scores": scores, "deciles": by_decile, "similarity": similarity}
    if beside := controls.records(results):
        records["controls"] = beside
    (directory / "measures.json").write_text(dumps(measures(results)), encoding="utf-8")
    for name, rows in records.items():
        (directory / f"{name}.json").write_text(dumps(rounded(rows)), encoding="utf-8")
    kinds: tuple[Format, ...] = ("svg", "png")
    for kind in kinds:
        (directory / f"overview.{kind}").write_bytes(figures.overview(scores, kind, LIGHT))
        (directory / f"similarity.{kind}").write_bytes(figures.similarity(pairs, kind, LIGHT, results.compared))
        (directory / f"distance.{kind}").write_bytes(distance.draw(pairs, kind, LIGHT))
        if by_decile:
            (directory / f"deciles.{kind}").write_bytes(deciles.draw(by_decile, kind, LIGHT))
        if beside:
            (directory / f"controls.{kind}").write_bytes(controls.draw(beside, kind, LIGHT))


def score_records(results: Results) -> Records:
    """One record for every coder, explainer and scorer, in the order of params.yaml; the explainer of a scorer of latents is empty."""
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
            "chance": scores.chance,
        }
        for coder in results.coders.values()
        for explainer, scorers in (*coder.scores.items(), ("", coder.of_latents))
        for scorer, scores in scorers.items()
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
        "decoder_low",
        "decoder_high",
        "decoder_cosine_random",
    )
    return [{key: pair[key] for key in keys} for pair in results.pairs]


def of_matched(pairs: Records) -> Records:
    """Those of explainers of which some latents were matched; one of few latents may have none, and nothing to show but dashes."""
    known = {pair["explainer"] for pair in pairs if pair["explanation_cosine"] is not None}
    return [pair for pair in pairs if pair["explainer"] in known]
