"""All pairs of coders: which are compared, and what comes of them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages import params
from stages.errors import GlossaError, nearest
from stages.progress import bar
from stages.similarity import lists
from stages.similarity.blocks import Cosine
from stages.similarity.known import Known, Sources
from stages.similarity.lists import Link, Relatives
from stages.similarity.pair import Pair, pair
from stages.similarity.pairs import compare
from stages.similarity.split import splits
from stages.similarity.table import matches_schema, splits_schema


class Found(NamedTuple):
    """What all pairs come to."""

    matches: pa.Table
    splits: pa.Table
    pairs: list[dict[str, Any]]
    """The figures of every pair and explainer."""
    lists: dict[str, Any]
    """By explainer."""


def wanted(p: params.Params) -> list[tuple[str, str]]:
    """Returns the pairs of coders that ``compare.pairs`` asks for, in its order; by default every two.

    Raises:
        GlossaError: a pair names a coder that there is not, or a coder of another project is called like one of this.
    """
    names = [*p.coders, *p.compare.others]
    for name in p.compare.others:
        if not params.NAME.fullmatch(name) or name in p.coders:
            raise GlossaError(
                f"params.yaml: the name compare.others.{name} should hold only a-z, 0-9 and _ and be no coder's; rename it"
            )
    for two in p.compare.pairs or ():
        for name in two:
            if name not in names:
                raise GlossaError(f"params.yaml: compare.pairs names {name}, which is no coder; {nearest(name, names)}")
    return list(combinations(names, 2) if p.compare.pairs is None else dict.fromkeys(p.compare.pairs))


def compare_all(
    wanted: Sequence[tuple[str, str]], known: Mapping[str, Known], sources: Sources, kind: str, seed: int
) -> Found:
    """Compares the ``wanted`` pairs of coders, matching latents by ``kind``."""
    explainers = list(next(iter(known.values())).explained)
    tables, figures, groups = [matches_schema().empty_table()], [], [splits_schema().empty_table()]
    said: dict[str, dict[str, Any]] = {explainer: {"pairs": [], "unique": {}, "chains": []} for explainer in explainers}
    links: dict[str, dict[tuple[str, str], Link]] = {explainer: {} for explainer in explainers}
    relatives: dict[str, Relatives] = {}
    for a, b in bar("compare", unit="pair", iterable=wanted):
        two = pair(known[a], known[b], sources)
        for explainer, found in zip(explainers, compare(two, kind, seed), strict=True):
            tables.append(found.matches)
            figures.append(found.facts)
            if found.lists:
                said[explainer]["pairs"].append({"a": a, "b": b, **found.lists})
            if found.link is not None:
                links[explainer][a, b] = found.link
        groups += _splits(two)
        _relate(two, kind, relatives)
    for explainer in explainers:
        for name, own in relatives.items():
            said[explainer]["unique"][name] = lists.unique(own, known[name].explained[explainer])
        for family in lists.families(list(known.values())):
            said[explainer]["chains"].append(lists.chains(family, links[explainer], explainer))
    return Found(pa.concat_tables(tables).combine_chunks(), pa.concat_tables(groups).combine_chunks(), figures, said)


def _splits(two: Pair) -> Iterator[pa.Table]:
    """The latents of either coder that several latents of the other are nearest to."""
    decoder = two.similarities["decoder"]
    if not isinstance(decoder, Cosine):
        return
    ((a, b),) = decoder.vectors
    for reverse, (parents, children) in ((False, (two.a, two.b)), (True, (two.b, two.a))):
        found = splits(two.nearest("decoder"), *((b, a) if reverse else (a, b)), reverse)
        rows = [
            {
                "coder": parents.name,
                "latent": group.latent,
                "other": children.name,
                "latents": group.children,
                "cosines": group.cosines,
                "joint_cosine": group.joint_cosine,
            }
            for group in found
        ]
        yield pa.Table.from_pylist(rows, splits_schema())


def _relate(two: Pair, kind: str, relatives: dict[str, Relatives]) -> None:
    """Takes note of every latent's nearest relative by direction in the other coder of the pair."""
    by = two.direction(kind)
    if by is None:
        return
    similarity, found = two.similarities[by], two.nearest(by)
    assert not isinstance(similarity, str)
    for own, other, latents, nearest_to, values in (
        (two.a, two.b, similarity.rows, found.of_a, found.values_a),
        (two.b, two.a, similarity.columns, found.of_b, found.values_b),
    ):
        relatives.setdefault(own.name, Relatives(len(own.firing.density))).take(
            other.name, np.asarray(latents), nearest_to, values
        )
