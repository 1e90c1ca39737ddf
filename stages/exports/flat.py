"""What csv and jsonl have in common: one record for every coder, latent and explainer, with all its scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stages import paths
from stages.examples.table import Examples
from stages.params import Params
from stages.results import reading

OF_SCORE = ("score", "low", "high", "n", "unscored", "floor")


def records(p: Params) -> Iterator[dict[str, Any]]:
    """Yields explanations in the order of params.yaml and of latents.

    ``scores`` is {scorer: {score, low, high, n, unscored, floor}} with all scorers, None where a latent was not scored.
    """
    for name in p.coders:
        coder = reading.read_coder(p, name)
        latents = Examples.open(paths.examples(name)).latents
        facts = {row["latent"]: row for row in latents.select(["latent", "density", "max"]).to_pylist()}
        for explainer in p.explainers:
            for latent, explained in coder.explanations[explainer].items():
                known = facts.get(latent, {})
                yield {
                    "coder": name,
                    "hookpoint": coder.hookpoint,
                    "latent": latent,
                    "density": known.get("density"),
                    "max": known.get("max"),
                    "explainer": explainer,
                    "explanation": explained.text,
                    "reason": explained.reason,
                    "scores": {
                        scorer: _score(scores, latent)
                        for scorer, scores in {**coder.scores[explainer], **coder.of_latents}.items()
                    },
                }


def _score(scores: reading.Scores, latent: int) -> dict[str, Any] | None:
    own = scores.own.get(latent)
    if own is None:
        return None
    return {name: getattr(own, name) for name in OF_SCORE if name != "floor"} | {"floor": scores.floor_of(latent)}
