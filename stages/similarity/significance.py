"""Do matched latents share a meaning of their own, or only explanations that many latents share?

A hundred latents that an explainer calls "punctuation" are no hundred observations. So explanations of a coder that say nearly
the same form one class, and the test exchanges the meanings of whole classes:

* The statistic is the mean, over matched pairs, of cos(m(i), b(i)) less the mean of cos(m(i), b(j)) over all pairs j, where m(i)
  is the mean direction of the class of a(i)'s explanation and b(i) the explanation of its partner: how much nearer a latent's
  explanation is to its partner's than to the others'. A generic explanation is near to all and so gains nothing.
* Under the null hypothesis the classes' meanings have nothing to do with which latents they are matched to. Then it makes no
  difference which class has which meaning: the classes exchange theirs, and all latents of a class go on sharing one.
* p is the share of statistics, of the observed one and ``PERMUTATIONS`` exchanged, that are not below the observed one.
  It is computed once with the classes of A and once with those of B, and the larger is reported.

With few classes p can't be small: two classes can be exchanged in two ways, so p is about 0.5 however many latents they hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from stages.similarity.meaning import sample

NEAR = 0.95
"""Explanations whose cosine is at least this say nearly the same."""
PERMUTATIONS = 1999
ROWS = 1024
TOLERANCE = 1e-9
"""A statistic that is lower than the observed one by rounding alone is not lower."""


class Significance(NamedTuple):
    """The p-value, and how many classes of explanations it was made from."""

    p: float | None = None
    classes_a: int | None = None
    classes_b: int | None = None
    reason: str | None = None


def significance(a: NDArray[np.float32], b: NDArray[np.float32], generator: np.random.Generator) -> Significance:
    """Tests the explanations ``a`` and ``b`` of matched latents, both [pairs, width] at unit norm."""
    chosen = sample(len(a), generator)
    a, b = a[chosen], b[chosen]
    of_a, of_b = alike(a), alike(b)
    n_a, n_b = (int(found.max(initial=-1)) + 1 for found in (of_a, of_b))
    if min(n_a, n_b) < 2:
        return Significance(None, n_a, n_b, "all explanations of a coder say nearly the same, or there is but one")
    p = max(_exchanged(a, of_a, b, generator), _exchanged(b, of_b, a, generator))
    return Significance(p, n_a, n_b)


def alike(vectors: NDArray[np.float32]) -> NDArray[np.int32]:
    """Returns the class of every vector [n, width]: those that ``NEAR`` joins, and those joined through others."""
    n = len(vectors)
    if not n:
        return np.empty(0, np.int32)
    graph = [sparse.csr_array(vectors[first : first + ROWS] @ vectors.T >= NEAR) for first in range(0, n, ROWS)]
    return connected_components(sparse.vstack(graph), directed=False)[1]


def _exchanged(
    a: NDArray[np.float32], of_a: NDArray[np.int32], b: NDArray[np.float32], generator: np.random.Generator
) -> float:
    n_classes = int(of_a.max()) + 1
    sums = np.zeros((n_classes, a.shape[1]))
    np.add.at(sums, of_a, a)
    means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    gain = means @ b.T.astype(np.float64)
    gain -= gain.mean(axis=1, keepdims=True)
    pairs = np.arange(len(b))
    observed = gain[of_a, pairs].mean()
    drawn = [gain[generator.permutation(n_classes)[of_a], pairs].mean() for _ in range(PERMUTATIONS)]
    return (1 + int(np.sum(np.array(drawn) >= observed - TOLERANCE))) / (1 + PERMUTATIONS)
