"""Which explanations are better: scores of two explainers, or of one and its floor, on the same latents."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from stages.bootstrap import mean
from stages.results.reading import Results, Scores

FLOOR = "floor"
"""What another latent's explanation scores, in the place of a second explainer."""

Latents = dict[tuple[str, int], float]
"""By coder and latent."""


def differences(results: Results) -> list[dict[str, Any]]:
    """Returns a record for every scorer and explainer ``a`` beside its floor, and for every two explainers ``a`` and ``b``.

    ``difference`` is the mean of score of a - score of b over the latents, of all sparse coders of trained subjects together, that
    have both scores; ``low`` and ``high`` its 95 % bootstrap interval, in which latents are drawn; ``wins`` the share of latents
    of which a has the higher score, ties by half. Controls are left out, as in ``correlations``. What no latent has both of has
    no record.
    """
    found = []
    for scorer in results.scorers:
        own: dict[str, Latents] = {}
        for explainer in results.explainers:
            scores, floors = _scored(results, explainer, scorer)
            own[explainer] = scores
            found += _record(scorer, explainer, FLOOR, scores, floors)
        for a, b in combinations(own, 2):
            found += _record(scorer, a, b, own[a], own[b])
    return found


def _scored(results: Results, explainer: str, scorer: str) -> tuple[Latents, Latents]:
    """The scores and the floors of the latents that have any."""
    scores: Latents = {}
    floors: Latents = {}
    for name, of in _scores_of(results, explainer, scorer):
        for latent, one in of.own.items():
            if one.score is not None:
                scores[name, latent] = one.score
            if (floor := of.floor_of(latent)) is not None:
                floors[name, latent] = floor
    return scores, floors


def _scores_of(results: Results, explainer: str, scorer: str) -> Iterator[tuple[str, Scores]]:
    for coder in results.coders.values():
        counts = coder.kind == "coder" and coder.meta["subject"]["weights"] == "trained"
        if counts and scorer in coder.scores.get(explainer, {}):
            yield coder.name, coder.scores[explainer][scorer]


def _record(scorer: str, a: str, b: str, of_a: Latents, of_b: Latents) -> list[dict[str, Any]]:
    both = sorted(of_a.keys() & of_b.keys())
    if not both:
        return []
    gains = np.array([of_a[key] - of_b[key] for key in both], np.float64)
    figure = mean(gains, np.random.default_rng(0))
    wins = float(np.mean(np.sign(gains) + 1) / 2)
    found = {"difference": figure.value, "low": figure.low, "high": figure.high, "wins": wins, "latents": len(both)}
    return [{"scorer": scorer, "a": a, "b": b, **found}]
