"""All pairs of coders: what each comes to, kept from before or found now, and what comes of them together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa

from stages.machine.kept import Kept
from stages.machine.progress import bar
from stages.similarity import lists, outcome, packed
from stages.similarity.key import Keys
from stages.similarity.lists import Link, Relatives
from stages.similarity.outcome import Outcome
from stages.similarity.sources import Known, Sources
from stages.similarity.table import matches_schema, splits_schema


class Found(NamedTuple):
    """What all pairs come to."""

    matches: pa.Table
    splits: pa.Table
    pairs: list[dict[str, Any]]
    """The figures of every pair and explainer."""
    lists: dict[str, Any]
    """By explainer."""


def outcomes(
    wanted: Sequence[tuple[str, str]],
    known: Mapping[str, Known],
    sources: Sources,
    kind: str,
    seed: int,
    keys: Keys,
    kept: Kept,
) -> Iterator[Outcome]:
    """Yields what each of the ``wanted`` pairs comes to, matching latents by ``kind``; what is found anew is ``kept``.

    That, too, is taken from what was kept of it, so it can't differ from what a later run finds.
    """
    for a, b in bar("compare", unit="pair", iterable=wanted):
        key = keys.of(a, b)
        content = kept.get(key)
        if content is None:
            content = packed.pack(outcome.of(known[a], known[b], sources, kind, seed))
            kept.put(key, content)
        yield packed.unpack(content, known[a], known[b])


def together(wanted: Sequence[tuple[str, str]], known: Mapping[str, Known], outcomes: Iterable[Outcome]) -> Found:
    """Gathers the ``outcomes`` of the ``wanted`` pairs; the lists over several pairs go by the order of these."""
    explainers = list(next(iter(known.values())).explained)
    tables, figures, groups = [matches_schema().empty_table()], [], [splits_schema().empty_table()]
    said: dict[str, dict[str, Any]] = {explainer: {"pairs": [], "unique": {}, "chains": []} for explainer in explainers}
    links: dict[str, dict[tuple[str, str], Link]] = {explainer: {} for explainer in explainers}
    relatives: dict[str, Relatives] = {}
    compared = {*map(frozenset, wanted)}
    families = [
        family
        for family in lists.families(list(known.values()))
        if any(frozenset({a.name, b.name}) in compared for a, b in pairwise(family))
    ]
    in_chains = {frozenset({a.name, b.name}) for family in families for a, b in pairwise(family)}
    for (a, b), found in zip(wanted, outcomes, strict=True):
        for explainer, one in zip(explainers, found.compared, strict=True):
            tables.append(one.matches)
            figures.append(one.facts)
            if one.lists:
                said[explainer]["pairs"].append({"a": a, "b": b, **one.lists})
            if one.link is not None and frozenset({a, b}) in in_chains:  # of all pairs they would fill the memory
                links[explainer][a, b] = one.link
        groups.append(found.splits)
        for own, other, near in zip((a, b), (b, a), found.near or (), strict=False):
            relatives.setdefault(own, Relatives(len(known[own].firing.density))).take(other, *near)
    for explainer in explainers:
        for name, of_coder in relatives.items():
            said[explainer]["unique"][name] = lists.unique(of_coder, known[name].explained[explainer])
        for family in families:
            said[explainer]["chains"].append(lists.chains(family, links[explainer], explainer))
    return Found(pa.concat_tables(tables).combine_chunks(), pa.concat_tables(groups).combine_chunks(), figures, said)
