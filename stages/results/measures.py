"""The tables of the overview that go beyond the headline: what scorers measure, floors, and whether scorers agree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stages import registry
from stages.results.correlations import correlations
from stages.results.differences import differences
from stages.results.reading import Results
from stages.scorers.metrics import called

MEASURES = ("natural_f1", "auroc", "natural_auprc")
"""What is shown beside the headline; metrics.json has all."""


def tables(results: Results) -> dict[str, Any]:
    """Returns what measures.html shows."""
    rows = []
    for coder in results.coders.values():
        for explainer, scorers in coder.scores.items():
            for scorer, scores in scorers.items():
                values, headline = scores.values(), scores.meta["metric"]
                row: dict[str, Any] = {"coder": coder.name, "explainer": explainer, "scorer": scorer}
                row |= {"metric": scores.metric, "score": scores.overall("score")}
                row["measures"] = {
                    metric: values[metric] for metric in MEASURES if metric in values and metric != headline
                }
                row["kinds"] = scores.by_kind()
                if row["measures"] or len(row["kinds"]) > 1:
                    rows.append(row)
    measures = [metric for metric in MEASURES if any(metric in row["measures"] for row in rows)]
    kinds = in_order({kind for row in rows for kind in row["kinds"]})
    return {
        "rows": rows,
        "measures": {metric: called(metric) for metric in measures},
        # A single kind of negatives is the headline once more.
        "kinds": kinds if any(len(row["kinds"]) > 1 for row in rows) else [],
        "differences": differences(results),
        "agreement": agreement(results),
    }


def in_order(kinds: Iterable[str]) -> list[str]:
    """Returns kinds of negatives as they are shown: those of the registry, in its order, then those that are made or unknown here."""
    found = set(kinds)
    return [*(kind for kind in registry.NEGATIVES if kind in found), *sorted(found - registry.NEGATIVES.keys())]


def agreement(results: Results) -> list[dict[str, Any]]:
    """Returns, for every explainer, the scorers and a matrix of their correlations; a scorer with itself is None."""
    found = []
    records = correlations(results)
    for explainer in dict.fromkeys(record["explainer"] for record in records):
        pairs = {(one["a"], one["b"]): one for one in records if one["explainer"] == explainer}
        scorers = list(dict.fromkeys(name for pair in pairs for name in pair))
        matrix = [[pairs.get((a, b), pairs.get((b, a))) for b in scorers] for a in scorers]
        found.append({"explainer": explainer, "scorers": scorers, "matrix": matrix})
    return found
