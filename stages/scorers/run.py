"""What every score stage does around its scorer: the sub-sample, the floor, and the figures over all latents.

Latents go through it in groups, so that memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa

from stages.bootstrap import Figure
from stages.examples.hashing import shuffled
from stages.examples.table import Examples
from stages.scorers import Context, Item, Judged, Scored, Scorer, summary, trusted
from stages.scorers.overall import Overall
from stages.scorers.table import ALL, OWN, SHUFFLED, measures_schema, of, scores_schema, verdicts_schema

AT_ONCE = 128
"""Items whose verdicts are summarised together."""

NOTHING_SHOWN = "no example could be shown"


class Part(NamedTuple):
    """What was found of some latents with one explanation of each, or of all."""

    verdicts: pa.Table
    scores: pa.Table
    measures: pa.Table

    def of(self, control: str) -> Part:
        """Returns what was found with ``own`` or ``shuffled`` explanations."""
        return Part(*(of(table, control) for table in self))


@dataclass(frozen=True)
class Items(Collection[Item]):
    """What a scorer is given: explained latents, each with its own explanation and with another's.

    Every pass over them reads the windows anew, so that they need not be in memory.
    """

    examples: Examples
    latents: list[int]
    """Those that are scored."""
    texts: dict[int, str]
    """By latent its explanation."""
    other: dict[int, int]
    """By latent the one whose explanation is its floor."""

    @classmethod
    def choose(
        cls, scorer: Scorer, examples: Examples, texts: dict[int, str], context: Context, with_floor: bool = True
    ) -> Items:
        """Chooses all explained latents, or the seeded sub-sample that the scorer wants.

        ``texts`` are the explanations by latent; for a kind that scores latents empty ones, ``with_floor`` being false.
        """
        order = shuffled(context.seed, context.coder, texts)
        # The floor: each latent gets the next one's explanation, in an order that means nothing. The next one need not be scored
        # itself, so that a larger sub-sample asks all that a smaller one did.
        other = dict(zip(order, [*order[1:], *order[:1]], strict=True)) if with_floor and len(order) > 1 else {}
        return cls(examples, order if scorer.latents is None else order[: scorer.latents], texts, other)

    def __iter__(self) -> Iterator[Item]:
        for latent in self.examples.of(self.latents):
            yield Item(latent, self.texts[latent.latent], OWN)
            if latent.latent in self.other:
                yield Item(latent, self.texts[self.other[latent.latent]], SHUFFLED)

    def __len__(self) -> int:
        return len(self.latents) + sum(latent in self.other for latent in self.latents)

    def __contains__(self, item: object) -> bool:
        return isinstance(item, Item) and item.examples.latent in self.latents


Finding = Callable[[Scorer, Items, Context], Generator[Part, None, dict[str, Any]]]
"""How the parts are found."""


def run(
    scorer: Scorer,
    examples: Examples,
    texts: dict[int, str],
    context: Context,
    take: Callable[[Part], object],
    with_floor: bool = True,
    find: Finding | None = None,
) -> dict[str, Any]:
    """Scores explained latents (``Items.choose``), and gives what is found to ``take``, group by group in the order of latents.

    ``find`` is ``parts_of``, or does the same elsewhere. Returns the figures for the meta.
    """
    items = Items.choose(scorer, examples, texts, context, with_floor)
    overall = {control: Overall() for control in ((OWN, SHUFFLED) if with_floor else (OWN,))}
    parts = (find or parts_of)(scorer, items, context)
    facts: dict[str, Any] = {}
    while not facts:
        try:
            part = next(parts)
        except StopIteration as end:
            if reason := trusted.void(end.value):
                for found in overall.values():
                    found.void(reason)
            facts = {
                **scorer.METRIC.facts(),
                "overall": {control: found.means(context.seed) for control, found in overall.items()},
                "unscored": {control: found.unscored() for control, found in overall.items()},
                "latents_explained": len(texts),
                "latents_scored": len(items.latents),
                **end.value,
            }
        else:
            for control, found in overall.items():
                found.add(*part.of(control))
            take(part)
    return facts


def scored(scorer: Scorer, items: Collection[Item], context: Context) -> Scored:
    """Judges all items, and returns all tables at once."""
    found: list[Part] = []
    parts = parts_of(scorer, items, context)
    while True:
        try:
            found.append(next(parts))
        except StopIteration as end:
            return Scored(*whole(found), scorer.METRIC, end.value)


def whole(parts: Collection[Part]) -> Part:
    """Returns parts, which are in the order of latents, as one: ordered by explanation and latent."""
    schemas = (verdicts_schema(), scores_schema(), measures_schema())
    columns = zip(*parts, strict=True) if parts else [()] * len(schemas)
    joined = (
        pa.concat_tables([schema.empty_table(), *tables]) for schema, tables in zip(schemas, columns, strict=True)
    )
    return Part(*(table.sort_by("explanation").combine_chunks() for table in joined))


def parts_of(scorer: Scorer, items: Collection[Item], context: Context) -> Generator[Part, None, dict[str, Any]]:
    """Yields what is found of some latents at once, and returns what else belongs into the meta."""
    found, facts = found_of(scorer, items, context)
    while some := list(islice(found, AT_ONCE)):
        yield summarised(scorer, some, context)
    return facts


def found_of(scorer: Scorer, items: Collection[Item], context: Context) -> tuple[Iterator[Judged], dict[str, Any]]:
    """Returns what is judged of every item, and what else belongs into the meta, which is there when all were taken."""
    facts: dict[str, Any] = {}

    def judged() -> Iterator[Judged]:
        facts.update((yield from scorer.judge(items, context)))

    return judged(), facts


def summarised(scorer: Scorer, judged: list[Judged], context: Context) -> Part:
    """Returns what some items come to; one without a verdict has a row with the reason."""
    judged.sort(key=lambda one: one.item.key)
    found = scorer.summarise([one for one in judged if len(one.verdicts)], context)
    scores: list[Mapping[str, Any]] = []
    measures: list[Mapping[str, Any]] = []
    for one in judged:
        measures += one.measures
        if not len(one.verdicts):
            nothing = Figure(None, reason=one.reason or NOTHING_SHOWN)
            scores.append(summary.score_row(*one.item.key, nothing, 0, 0))
            measures.append(summary.measure_row(*one.item.key, scorer.METRIC.name, ALL, nothing, 0))
    if scores or measures:
        found = summary.from_rows([*found.scores.to_pylist(), *scores], [*found.measures.to_pylist(), *measures])
    return Part(pa.concat_tables([one.verdicts for one in judged]).combine_chunks(), *found)
