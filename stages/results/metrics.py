"""The figures that `dvc metrics show` has in a row for every coder (results/metrics/<coder>.json), and all of them (results/plots/measures.json)."""

from __future__ import annotations

from typing import Any

from stages.explainers import parroted
from stages.results import correlations, differences
from stages.results.reading import CoderResults, Results, Scores

DECIMALS = 4


def of_coders(results: Results) -> dict[str, dict[str, Any]]:
    """Returns, by coder, the few figures that ``dvc metrics show`` has in a row: kept latents, and scores by scorer and explainer."""
    return rounded(
        {
            coder.name: {
                "kept": coder.meta["kept"],
                **{
                    scorer: {explainer: scored[scorer].overall("score") for explainer, scored in coder.scores.items()}
                    for scorer in results.scorers
                },
                **{scorer: scores.overall("score") for scorer, scores in coder.of_latents.items()},
            }
            for coder in results.coders.values()
        }
    )


def measures(results: Results) -> dict[str, Any]:
    """Returns all figures.

    Sections: coders, explanations, scores (by coder, explainer, scorer), latents (by coder and scorer: what needs no explanation),
    similarity, correlations (by explainer and two scorers), differences (by scorer and two explainers, or one and its floor).
    """
    coders = results.coders.values()
    return rounded(
        {
            "latents": {coder.name: _of_latents(results, coder) for coder in coders if coder.of_latents},
            "correlations": _correlations(results),
            "differences": _differences(results),
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
    texts = (explained.text for explained in coder.explanations[explainer].values())
    return {
        "explained": coder.explained(explainer),
        "unexplained": coder.unexplained(explainer),
        "alike": parroted.alike(texts),
    }


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
    beside = {metric: value for metric, value in scores.values().items() if metric != scores.meta["metric"]}
    more = {"measures": beside, "negatives": scores.by_kind()}
    return found | {name: values for name, values in more.items() if values}


def _correlations(results: Results) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in correlations.correlations(results):
        facts = {key: one[key] for key in ("spearman", "low", "high", "latents") if one[key] is not None}
        found.setdefault(one["explainer"], {}).setdefault(one["a"], {})[one["b"]] = facts
    return found


def _differences(results: Results) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in differences.differences(results):
        facts = {key: value for key, value in one.items() if key not in ("scorer", "a", "b")}
        found.setdefault(one["scorer"], {}).setdefault(one["a"], {})[one["b"]] = facts
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
