"""How far two coders' explanations lie apart as sets, without matching any latents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.bootstrap import Figure, range_of

MOST = 2048
"""Explanations of each coder from which the energy distance is worked out; of more a random sample is taken."""
TIMES = 200
"""Resamples and exchanges of labels."""


def energy(
    a: NDArray[np.float32], b: NDArray[np.float32], generator: np.random.Generator
) -> tuple[Figure, float | None]:
    """Returns the energy distance of ``a`` and ``b``, [explained, width] each, and the p-value of their being alike.

    2 E|x - y| - E|x - x'| - E|y - y'| of Euclidean distances between vectors (Székely & Rizzo 2013), without bias: x and x'
    are two different explanations. Around 0 for two samples of one distribution, up to 2 √2 on the unit sphere. Its interval
    is that of the bootstrap, resampling the explanations of both; p is that of exchanging them between the coders.
    """
    if min(len(a), len(b)) < 2:
        return Figure(reason="fewer than two latents of one of the coders are explained"), None
    a, b = (side if len(side) <= MOST else side[generator.choice(len(side), MOST, replace=False)] for side in (a, b))
    n, m = len(a), len(b)
    distances = _distances(np.concatenate([a, b]).astype(np.float64))
    labels = np.arange(n + m) < n
    value = float(_energy(distances, np.where(labels, 1.0, 0.0)[None], np.where(labels, 0.0, 1.0)[None])[0])
    of_a = np.zeros((TIMES, n + m))
    of_b = np.zeros((TIMES, n + m))
    of_a[:, :n] = generator.multinomial(n, np.full(n, 1 / n), TIMES)
    of_b[:, n:] = generator.multinomial(m, np.full(m, 1 / m), TIMES)
    resampled = _energy(distances, of_a, of_b)
    exchanged = np.array([generator.permutation(labels) for _ in range(TIMES)]).astype(float)
    p = (1 + int(np.sum(_energy(distances, exchanged, 1 - exchanged) >= value))) / (1 + TIMES)
    return range_of(resampled, value, n + m), p


def _distances(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial.distance import pdist, squareform

    return squareform(pdist(vectors))


def _energy(
    distances: NDArray[np.float64], of_a: NDArray[np.float64], of_b: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The energy distance for each row of weights, [times, explanations of both]; a weight is how often one was drawn."""
    to_a, to_b = of_a @ distances, of_b @ distances
    between = (to_a * of_b).sum(axis=1) / (of_a.sum(axis=1) * of_b.sum(axis=1))
    return 2 * between - _within(to_a, of_a) - _within(to_b, of_b)


def _within(to: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean distance of two different explanations: one that was drawn twice is no pair."""
    pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)  # none if a draw holds one explanation alone
    return (to * weights).sum(axis=1) / np.maximum(pairs, 1)
