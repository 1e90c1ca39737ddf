"""What every score stage does around its scorer: the sub-sample, the floor, and the figures over all latents."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from stages.examples.hashing import shuffled
from stages.examples.table import Examples
from stages.scorers import Context, Item, Scored, Scorer, overall, summary
from stages.scorers.metrics import Figure
from stages.scorers.table import OWN, SHUFFLED

NOTHING_SHOWN = "no example could be shown"


def run(
    scorer: Scorer, examples: Examples, texts: dict[int, str], context: Context, with_floor: bool = True
) -> tuple[Scored, dict[str, Any]]:
    """Scores every explained latent, or a seeded sub-sample of them, with its own explanation and with another's.

    ``texts`` are the explanations by latent; for a kind that scores latents empty ones, ``with_floor`` being false.
    Returns what the scorer found and the figures for the meta.
    """
    seed = context.seed
    order = shuffled(seed, context.coder, texts)
    # The floor: each latent gets the next one's explanation, in an order that means nothing. The next one need not be scored
    # itself, so that a larger sub-sample asks all that a smaller one did.
    other = dict(zip(order, [*order[1:], *order[:1]], strict=True)) if with_floor and len(order) > 1 else {}
    if scorer.latents is not None:
        order = order[: scorer.latents]
    items = []
    for latent in examples.of(order):
        items.append(Item(latent, texts[latent.latent], OWN))
        if latent.latent in other:
            items.append(Item(latent, texts[other[latent.latent]], SHUFFLED))
    scored = scorer.score(items, context)
    scored = scored._replace(scores=_complete(scored.scores, items))
    controls = (OWN, SHUFFLED) if with_floor else (OWN,)
    facts = {
        "metric": scored.metric,
        "overall": {control: overall.means(scored.measures, control, seed) for control in controls},
        "unscored": {control: overall.unscored(scored.scores, scored.verdicts, control) for control in controls},
        "latents_explained": len(texts),
        "latents_scored": len(order),
        **scored.facts,
    }
    return scored, facts


def _complete(scores: pa.Table, items: list[Item]) -> pa.Table:
    """The scores with a row for every item: one that a scorer could show nothing of says so."""
    there = set(zip(scores["explanation"].to_pylist(), scores["latent"].to_pylist(), strict=True))
    missing = [key for item in items if (key := (item.control, item.examples.latent)) not in there]
    if not missing:
        return scores
    rows = [summary.score_row(*key, Figure(None, reason=NOTHING_SHOWN), 0, 0) for key in missing]
    return summary.from_rows([*scores.to_pylist(), *rows], []).scores
