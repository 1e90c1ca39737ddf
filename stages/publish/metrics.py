"""results/metrics.json: the numbers that are compared from commit to commit."""

from __future__ import annotations

from typing import Any

from stages.publish.results import CoderResults, Results, Scores

DECIMALS = 4


def metrics(results: Results) -> dict[str, Any]:
    """Returns four sections: coders, explanations and scores (by coder, explainer, scorer), similarity."""
    coders = results.coders.values()
    return rounded(
        {
            "coders": {coder.name: _coder(coder, results.l0(coder)) for coder in coders},
            "explanations": {
                coder.name: {explainer: _explanations(coder, explainer) for explainer in results.explainers}
                for coder in coders
            },
            "scores": {
                coder.name: {
                    explainer: {scorer: _scores(scores) for scorer, scores in scorers.items()}
                    for explainer, scorers in coder.scores.items()
                }
                for coder in coders
            },
            "similarity": _similarity(results),
        }
    )


def _coder(coder: CoderResults, l0: float) -> dict[str, Any]:
    meta = coder.meta
    return {
        "latents": meta["n_latents"],
        "dead": meta["dead"],
        "chosen": meta["chosen"],
        "kept": meta["kept"],
        "dropped": meta["dropped"],
        "l0": l0,
    }


def _explanations(coder: CoderResults, explainer: str) -> dict[str, Any]:
    return {"explained": coder.explained(explainer), "unexplained": coder.unexplained(explainer)}


def _scores(scores: Scores) -> dict[str, Any]:
    return {
        "score": scores.overall("score"),
        "low": scores.overall("low"),
        "high": scores.overall("high"),
        "floor": scores.overall_floor,
        "latents": scores.overall("n_latents"),
        "unscored": scores.overall("unscored_latents"),
        "unscored_examples": scores.overall("unscored_examples"),
    }


def _similarity(results: Results) -> dict[str, Any]:
    """By explainer and the two coders; a pair that could not be compared says why."""
    found: dict[str, Any] = {}
    for pair in results.pairs:
        facts = {key: value for key, value in pair.items() if key not in ("a", "b", "explainer") and value is not None}
        found.setdefault(pair["explainer"], {}).setdefault(pair["a"], {})[pair["b"]] = facts
    return found


def rounded(value: Any) -> Any:
    """Returns ``value`` with every float in it rounded, so that noise below ``DECIMALS`` makes no diff."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, DECIMALS) + 0.0 if isinstance(value, float) else value
