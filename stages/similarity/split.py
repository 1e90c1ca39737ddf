"""Many-to-one: a latent of one coder that several latents of another are nearest to.

Such a group is a candidate for a latent of a narrow coder that a wider one split, or seen from the other side for several
latents merged into one. Decoder directions decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.similarity.match import Nearest

CLOSE = 0.5
"""Cosine with the parent that a child needs at least."""


class Split(NamedTuple):
    """One latent of the first coder and the latents of the second whose nearest it is."""

    latent: int
    children: list[int]
    """Two or more, nearest first."""
    cosines: list[float]
    joint_cosine: float
    """Of the parent with the best linear combination of the children: 1 if they make it up between them."""


def splits(nearest: Nearest, parents: Tensor, children: Tensor, reverse: bool = False) -> list[Split]:
    """Returns the groups in the order of their parents.

    Args:
        nearest: of all latents of A and all of B.
        parents: [latents of A, width] decoder directions at unit norm; of B if ``reverse``.
        children: [latents of B, width] likewise; of A if ``reverse``.
        reverse: whether parents are sought in B and children in A.
    """
    of_child, values = (nearest.of_a, nearest.values_a) if reverse else (nearest.of_b, nearest.values_b)
    return [
        Split(
            parent, group.tolist(), values[group].tolist(), _joint(parents[parent], children[torch.from_numpy(group)])
        )
        for parent, group in _groups(of_child, values)
    ]


def _groups(of_child: NDArray[np.int64], values: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    close = np.flatnonzero(values >= CLOSE)
    order = close[np.lexsort((close, -values[close], of_child[close]))]
    bounds = np.flatnonzero(np.diff(of_child[order])) + 1
    for group in np.split(order, bounds):
        if len(group) > 1:
            yield int(of_child[group[0]]), group


def _joint(parent: Tensor, children: Tensor) -> float:
    """The norm of the projection of ``parent`` [width] on the span of ``children`` [n, width]."""
    basis = children.T.double()
    found = torch.linalg.lstsq(basis, parent.double()[:, None], driver="gelsd" if basis.is_cpu else None).solution
    return float(torch.linalg.vector_norm(basis @ found))
