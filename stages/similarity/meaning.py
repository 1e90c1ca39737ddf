"""How alike the explanations of matched latents are, and how alike they would be if matching meant nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages import bootstrap
from stages.bootstrap import Figure

MOST = 4096
"""Matched pairs, or explanations, from which floors are worked out; of more a random sample is taken."""

Classes = Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]
"""{what latents are classed by: (class of a[i], class of b[i])}, -1 where it is unknown."""


class Meaning(NamedTuple):
    """Mean cosine of the explanations of matched latents, and its floors; every figure has a 95 % interval."""

    cosine: Figure
    """Over the matched pairs in which both latents are explained; resampling pairs."""
    floors: dict[str, Figure]
    """By ``random``: latents of the same pairs, matched at random. By ``shuffled``: both coders' explanations dealt out anew
    among all their explained latents. By the name of a class: pairs of which both latents are of one class, matched at random.
    A floor's interval is the range in which 95 % of its draws lie: what n pairs come to by chance."""


def meaning(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    classes: Classes,
    everything: tuple[NDArray[np.float32], NDArray[np.float32]],
    generator: np.random.Generator,
) -> Meaning:
    """Compares ``a`` with ``b``, both [pairs, width] at unit norm, row by row.

    ``everything`` holds the vectors of all explanations of either coder, [explained, width].
    """
    n = len(a)
    if n < 2:
        found = "only one matched pair has" if n else "no matched pair has"
        missing = Figure(n=n, reason=f"{found} both explanations, and two are needed")
        return Meaning(missing, dict.fromkeys(("random", "shuffled", *classes), missing))
    own = np.einsum("ij,ij->i", a, b, dtype=np.float64)
    chosen = sample(n, generator)
    cosines = a[chosen] @ b[chosen].T
    others = ~np.eye(len(chosen), dtype=bool)
    floors = {"random": _floor(cosines, others, n, generator), "shuffled": _shuffled(*everything, n, generator)}
    for name, (of_a, of_b) in classes.items():
        alike = (of_a[chosen, None] == of_b[chosen]) & (of_a[chosen, None] >= 0)
        floors[name] = _floor(cosines, alike & others, n, generator)
    return Meaning(bootstrap.mean(own, generator), floors)


def sample(n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Returns the places, in order, of all of ``n`` things or of a random ``MOST`` of them."""
    return np.arange(n) if n <= MOST else np.sort(generator.choice(n, MOST, replace=False))


def _floor(cosines: NDArray[np.float32], allowed: NDArray[np.bool_], n: int, generator: np.random.Generator) -> Figure:
    """The mean over rows of the mean of a row's allowed cells; drawn: one allowed cell of each of ``n`` rows."""
    counts = allowed.sum(axis=1)
    rows = np.flatnonzero(counts)
    if not len(rows):
        return Figure(reason="no two pairs can be exchanged")
    counts = counts[rows]
    ends = np.cumsum(counts)
    cells = cosines[allowed].astype(np.float64)
    value = (np.add.reduceat(cells, ends - counts) / counts).mean()
    times = max(1, round(n * len(rows) / len(cosines)))  # so many of all n pairs have a cell to draw
    drawn = [
        cells[(ends - counts)[row] + generator.integers(counts[row], dtype=np.int64)].mean(axis=1)
        for row in _rows(len(rows), times, generator)
    ]
    return bootstrap.range_of(np.concatenate(drawn), value, len(rows))


def _rows(n: int, size: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Which rows are drawn from, [some, size] at once: every row once if there are as many, else rows at random."""
    at_once = max(1, bootstrap.DRAWS // size)
    shapes = [min(at_once, bootstrap.RESAMPLES - first) for first in range(0, bootstrap.RESAMPLES, at_once)]
    if size == n:
        return [np.broadcast_to(np.arange(n), (some, n)) for some in shapes]
    return [generator.integers(n, size=(some, size)) for some in shapes]


def _shuffled(a: NDArray[np.float32], b: NDArray[np.float32], n: int, generator: np.random.Generator) -> Figure:
    value = float(a.mean(axis=0, dtype=np.float64) @ b.mean(axis=0, dtype=np.float64))
    of_a, of_b = sample(len(a), generator), sample(len(b), generator)
    cosines = a[of_a] @ b[of_b].T
    n = min(n, *cosines.shape)
    drawn = [
        cosines[generator.permutation(len(of_a))[:n], generator.permutation(len(of_b))[:n]].mean(dtype=np.float64)
        for _ in range(bootstrap.RESAMPLES)
    ]
    return bootstrap.range_of(np.array(drawn), value, n)
