"""Everything that a pair of coders comes to, apart from all other pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.similarity.blocks import Cosine
from stages.similarity.pair import Pair, pair
from stages.similarity.pairs import Compared, compare
from stages.similarity.sources import Known, Sources
from stages.similarity.split import splits
from stages.similarity.table import splits_schema


class Near(NamedTuple):
    """The latents of another coder that are nearest by direction to latents of one."""

    own: NDArray[np.int64]
    """[rows] latents of the one coder that have such a similarity, increasing."""
    nearest: NDArray[np.int64]
    """[rows] the latent of the other that is nearest to each."""
    values: NDArray[np.float32]


class Outcome(NamedTuple):
    """What two coders have in common."""

    compared: list[Compared]
    """By explainer, in the order of params.yaml."""
    splits: pa.Table
    """Latents of either coder that several latents of the other are nearest to."""
    near: tuple[Near, Near] | None
    """Of the first coder and of the second; None where they have no directions to compare."""


def of(a: Known, b: Known, sources: Sources, kind: str, seed: int) -> Outcome:
    """Compares two coders, matching latents by ``kind``: one of the similarities of a pair, or ``meaning``."""
    two = pair(a, b, sources)
    compared = list(compare(two, kind, seed))
    groups = pa.concat_tables([splits_schema().empty_table(), *_splits(two)]).combine_chunks()
    return Outcome(compared, groups, _near(two, kind))


def _splits(two: Pair) -> Iterator[pa.Table]:
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


def _near(two: Pair, kind: str) -> tuple[Near, Near] | None:
    by = two.direction(kind)
    if by is None:
        return None
    similarity, found = two.similarities[by], two.nearest(by)
    assert not isinstance(similarity, str)
    return (
        Near(np.asarray(similarity.rows), found.of_a, found.values_a),
        Near(np.asarray(similarity.columns), found.of_b, found.values_b),
    )
