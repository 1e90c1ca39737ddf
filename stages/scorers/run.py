"""What every score stage does around its scorer: the sub-sample, the floor, and the figures over all latents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.corpus.tokens import Vocabulary
from stages.examples.table import Examples
from stages.scorers import Item, Scored, Scorer, metrics
from stages.scorers.table import OWN, SHUFFLED


def run(
    scorer: Scorer, examples: Examples, texts: dict[int, str], vocabulary: Vocabulary, seed: int
) -> tuple[Scored, dict[str, Any]]:
    """Scores every explained latent, or a seeded sub-sample of them, with its own explanation and with another's.

    Returns what the scorer found and the figures for the meta.
    """
    explained = sorted(texts)
    generator = np.random.default_rng([seed, 0x5C0])
    order = generator.permutation(explained).tolist()
    if scorer.latents is not None:
        order = order[: scorer.latents]
    # The floor: each latent gets the next one's explanation, in an order that means nothing.
    other = dict(zip(order, [*order[1:], *order[:1]], strict=True)) if len(order) > 1 else {}
    items = []
    for latent in examples.of(order):
        items.append(Item(latent, texts[latent.latent], OWN))
        if latent.latent in other:
            items.append(Item(latent, texts[other[latent.latent]], SHUFFLED))
    scored = scorer.score(items, vocabulary, seed)
    overall = {control: _overall(scored.scores, control, seed) for control in (OWN, SHUFFLED)}
    facts = {
        "metric": scored.metric,
        "overall": overall,
        "deciles": _deciles(scored.verdicts),
        "latents_explained": len(explained),
        "latents_scored": len(order),
        **scored.facts,
    }
    return scored, facts


def _overall(scores: pa.Table, control: str, seed: int) -> dict[str, Any]:
    part = scores.filter(pc.equal(scores["explanation"], control))
    values = part["score"].drop_null().to_numpy()
    figure = metrics.mean(values, np.random.default_rng([seed, 0xA11]))
    return {
        "score": figure.value,
        "low": figure.low,
        "high": figure.high,
        "n_latents": len(values),
        "unscored_latents": len(part) - len(values),
        "unscored_examples": int(pc.sum(part["unscored"]).as_py() or 0),
        "reason": figure.reason,
    }


def _deciles(verdicts: pa.Table) -> list[float | None]:
    """Sensitivity in each decile of the latents' windows, strongest first; None where no verdict is a yes or no."""
    chosen = verdicts.filter(
        pc.and_(pc.and_(pc.equal(verdicts["explanation"], OWN), verdicts["active"]), verdicts["predicted"].is_valid())
    )
    deciles = chosen["decile"].to_numpy()
    predicted = chosen["predicted"].to_numpy(zero_copy_only=False).astype(bool)
    return [float(predicted[deciles == d].mean()) if (deciles == d).any() else None for d in range(1, 11)]
