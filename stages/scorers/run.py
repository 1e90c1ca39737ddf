"""What every score stage does around its scorer: the sub-sample, the floor, and the figures over all latents."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa

from stages.examples.hashing import shuffled
from stages.examples.table import Examples
from stages.scorers import Context, Item, Judged, Judging, Scored, Scorer, overall, summary
from stages.scorers.metrics import Figure
from stages.scorers.shown import verdicts
from stages.scorers.table import ALL, OWN, SHUFFLED, verdicts_schema

NOTHING_SHOWN = "no example could be shown"


def run(
    scorer: Scorer, examples: Examples, texts: dict[int, str], context: Context, with_floor: bool = True
) -> tuple[Scored, dict[str, Any]]:
    """Scores explained latents; see ``items``. Returns what the scorer found and the figures for the meta."""
    chosen = items(scorer, examples, texts, context, with_floor)
    found = scored(scorer, chosen, context)
    controls = (OWN, SHUFFLED) if with_floor else (OWN,)
    facts = {
        "metric": found.metric.name,
        "label": found.metric.label,
        "chance": found.metric.chance,
        "bounded": found.metric.bounded,
        "overall": {control: overall.means(found.measures, control, context.seed) for control in controls},
        "unscored": {control: overall.unscored(found.scores, found.verdicts, control) for control in controls},
        "latents_explained": len(texts),
        "latents_scored": len({item.examples.latent for item in chosen}),
        **found.facts,
    }
    return found, facts


def items(
    scorer: Scorer, examples: Examples, texts: dict[int, str], context: Context, with_floor: bool = True
) -> list[Item]:
    """Returns every explained latent, or a seeded sub-sample of them, with its own explanation and with another's.

    ``texts`` are the explanations by latent; for a kind that scores latents empty ones, ``with_floor`` being false.
    """
    order = shuffled(context.seed, context.coder, texts)
    # The floor: each latent gets the next one's explanation, in an order that means nothing. The next one need not be scored
    # itself, so that a larger sub-sample asks all that a smaller one did.
    other = dict(zip(order, [*order[1:], *order[:1]], strict=True)) if with_floor and len(order) > 1 else {}
    found = []
    for latent in examples.of(order if scorer.latents is None else order[: scorer.latents]):
        found.append(Item(latent, texts[latent.latent], OWN))
        if latent.latent in other:
            found.append(Item(latent, texts[other[latent.latent]], SHUFFLED))
    return found


def scored(scorer: Scorer, items: Collection[Item], context: Context) -> Scored:
    """Judges all items and says what the verdicts come to; an item without any has a row with the reason."""
    judged, facts = _judged(scorer.judge(items, context))
    there = {one.item.key for one in judged}
    judged += [Judged(item, verdicts(item, [])) for item in items if item.key not in there]
    judged.sort(key=lambda one: one.item.key)
    found = scorer.summarise([one for one in judged if len(one.verdicts)], context)
    scores, measures = found.scores.to_pylist(), found.measures.to_pylist()
    for one in judged:
        measures += one.measures
        if not len(one.verdicts):
            nothing = Figure(None, reason=one.reason or NOTHING_SHOWN)
            scores.append(summary.score_row(*one.item.key, nothing, 0, 0))
            measures.append(summary.measure_row(*one.item.key, scorer.METRIC.name, ALL, nothing, 0))
    tables = [verdicts_schema().empty_table(), *(one.verdicts for one in judged)]
    return Scored(pa.concat_tables(tables).combine_chunks(), *summary.from_rows(scores, measures), scorer.METRIC, facts)


def _judged(judging: Judging) -> tuple[list[Judged], dict[str, Any]]:
    found = []
    while True:
        try:
            found.append(next(judging))
        except StopIteration as end:
            return found, end.value
