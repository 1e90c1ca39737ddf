"""The columns of the table of latents: little of each, so that all fit into a browser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from stages.params import LATENT
from stages.results.reading import CoderResults, Scores
from stages.site.digits import short
from stages.site.latents import rounded
from stages.text.display import sentence

ROWS = 4096
"""Latents of a shard."""


def shard(coder: CoderResults, kept: pa.Table) -> dict[str, Any]:
    """Returns the columns of the latents in ``kept``, rows of the latents table."""
    latents = kept["latent"].to_pylist()
    explanations = {
        explainer: [_text(explained.get(latent)) for latent in latents]
        for explainer, explained in coder.explanations.items()
    }
    by = [*coder.scores.items(), (LATENT, coder.of_latents)]
    scores = {
        f"{explainer}/{scorer}": [_score(found, latent) for latent in latents]
        for explainer, scorers in by
        for scorer, found in scorers.items()
    }
    numbers = {name: short(kept[name].to_numpy().astype(np.float64)) for name in ("density", "max")}
    return {"latent": latents, **numbers, "explanations": explanations, "scores": scores}


def _text(explained: Any) -> str | None:
    return None if explained is None or explained.text is None else sentence(explained.text)


def _score(scores: Scores, latent: int) -> float | None:
    own = scores.own.get(latent)
    return rounded(own.score) if own else None
