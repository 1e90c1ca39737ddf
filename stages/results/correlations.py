"""Whether scorers agree: rank correlations of their scores over latents (arXiv 2410.13928, table A1)."""

from __future__ import annotations

from itertools import combinations
from math import atanh, sqrt, tanh
from typing import Any

import numpy as np

from stages.results.reading import Results

LEAST = 10
"""Latents over which a correlation is worth telling."""


def correlations(results: Results) -> list[dict[str, Any]]:
    """Returns a record for every explainer and every two scorers that have scored some of the same latents.

    Latents of all sparse coders of trained subjects are taken together; controls are left out, as their low scores by every
    scorer would make all of them agree. ``spearman`` is None where a scorer gives all of them the same score, or they are few.
    """
    coders = [c for c in results.coders.values() if c.kind == "coder" and c.meta["subject"]["weights"] == "trained"]
    found = []
    for explainer in results.explainers:
        scored: dict[str, dict[tuple[str, int], float]] = {}
        for coder in coders:
            for scorer, scores in (coder.scores.get(explainer, {}) | coder.of_latents).items():
                values = {
                    (coder.name, latent): own.score for latent, own in scores.own.items() if own.score is not None
                }
                scored.setdefault(scorer, {}).update(values)
        for a, b in combinations(scored, 2):
            both = sorted(scored[a].keys() & scored[b].keys())
            if both:
                pair = np.array([[scored[a][key], scored[b][key]] for key in both])
                found.append({"explainer": explainer, "a": a, "b": b, **spearman(pair), "latents": len(both)})
    return found


def spearman(pairs: np.ndarray) -> dict[str, float | None]:
    """Returns Spearman's correlation of [n, 2] numbers and its 95 % interval (Bonett & Wright, Psychometrika 65, 2000)."""
    from scipy.stats import rankdata

    n = len(pairs)
    if n < LEAST or (np.ptp(pairs, axis=0) == 0).any():
        return {"spearman": None, "low": None, "high": None}
    found = float(np.clip(np.corrcoef(rankdata(pairs, axis=0), rowvar=False)[0, 1], -1, 1))
    if abs(found) > 1 - 1e-12:
        return {"spearman": found, "low": found, "high": found}
    error = 1.959964 * sqrt((1 + found**2 / 2) / (n - 3))
    return {"spearman": found, "low": tanh(atanh(found) - error), "high": tanh(atanh(found) + error)}
