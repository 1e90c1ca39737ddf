"""results/metrics.json: the numbers that are compared from commit to commit."""

from __future__ import annotations

from typing import Any

from stages.publish import correlations
from stages.publish.results import CoderResults, Results, Scores

DECIMALS = 4


def metrics(results: Results) -> dict[str, Any]:
    """Returns sections: coders, explanations, scores (by coder, explainer, scorer), similarity.

    Where there is something to say, also latents (by coder and scorer: what needs no explanation) and correlations (by explainer
    and two scorers).
    """
    coders = results.coders.values()
    more = {
        "latents": {coder.name: _of_latents(results, coder) for coder in coders if coder.of_latents},
        "correlations": _correlations(results),
    }
    return rounded(
        {
            **{name: content for name, content in more.items() if content},
            "coders": {coder.name: _coder(coder, results.l0(coder)) for coder in coders},
            "explanations": {
                coder.name: {explainer: _explanations(coder, explainer) for explainer in results.explainers}
                for coder in coders
            },
            "scores": {
                coder.name: {
                    explainer: {
                        scorer: _scores(scores, results.random_scores(coder, explainer, scorer))
                        for scorer, scores in scorers.items()
                    }
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


def _of_latents(results: Results, coder: CoderResults) -> dict[str, Any]:
    return {
        scorer: _scores(scores, results.random_scores(coder, None, scorer))
        for scorer, scores in coder.of_latents.items()
    }


def _scores(scores: Scores, random: Scores | None) -> dict[str, Any]:
    """The score with its floors, and what else the scorer measures of all examples and by kind of negatives."""
    found = {
        "score": scores.overall("score"),
        "low": scores.overall("low"),
        "high": scores.overall("high"),
        "floor": scores.overall_floor,
        "latents": scores.overall("n_latents"),
        "unscored": scores.unscored["latents"],
        "unscored_examples": scores.unscored["examples"],
    }
    if random is not None:
        found["random_coder"] = random.overall("score")
    measures = {metric: value for metric, value in scores.values().items() if metric != scores.meta["metric"]}
    more = {"measures": measures, "negatives": scores.by_kind()}
    return found | {name: values for name, values in more.items() if values}


def _correlations(results: Results) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in correlations.correlations(results):
        facts = {key: one[key] for key in ("spearman", "low", "high", "latents") if one[key] is not None}
        found.setdefault(one["explainer"], {}).setdefault(one["a"], {})[one["b"]] = facts
    return found


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
