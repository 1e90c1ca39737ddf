"""How well predicted activations agree with true ones, over all tokens of all windows of a latent.

Windows are resampled whole, because what a latent does on neighbouring tokens hangs together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.bootstrap import RESAMPLES, Figure, figure

NOTHING = "no window has a prediction"
TRUTH_IS_FLAT = "the latent is equally strong on every token"
PREDICTION_IS_FLAT = "the same is predicted for every token"
METRICS = ("pearson", "r2", "absolute_deviation_explained")
AT_ONCE = 2**15
"""Numbers in memory at once while resampling: they stay in the processor's cache."""


class Curve(NamedTuple):
    """A latent on the tokens of one window."""

    true: NDArray[np.floating]
    """[tokens] its activations."""
    predicted: NDArray[np.floating]
    """[tokens] what a simulation makes of them, in any unit."""
    active: bool
    """Whether the window was chosen because the latent fires in it."""


def agreement(curves: Sequence[Curve], unit: float, generator: np.random.Generator) -> dict[str, Figure]:
    """Returns the figures of one latent; a are its activations, p the predictions, s = ``unit`` p, sums over all tokens.

    ``pearson``: the correlation of a and p (Bills et al. 2023). ``r2``: 1 - sum (a - s)² / sum (a - mean a)².
    ``absolute_deviation_explained``: 1 - sum |a - s| / sum |a - mean a|. Nothing is fitted, so that the last two may be below 0:
    they also ask whether the height is right. Windows of either sort are resampled apart.
    """
    if not curves:
        return dict.fromkeys(METRICS, Figure(None, reason=NOTHING))
    true = np.concatenate([curve.true for curve in curves]).astype(np.float64)
    predicted = np.concatenate([curve.predicted for curve in curves]).astype(np.float64)
    if np.ptp(true) == 0:
        return dict.fromkeys(METRICS, Figure(None, reason=TRUTH_IS_FLAT))
    window = np.repeat(np.arange(len(curves)), [len(curve.true) for curve in curves])
    weights = _resampled(np.array([curve.active for curve in curves]), generator)
    error = true - unit * predicted
    # Deviations from the observed means: sums of squares then lose no digits, and a correlation does not change.
    a, p = true - true.mean(), predicted - predicted.mean()

    def total(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        return weights @ np.bincount(window, numbers, minlength=len(curves))

    n, sum_a, sum_p = total(np.ones_like(a)), total(a), total(p)
    spread_a, spread_p = n * total(a * a) - sum_a**2, n * total(p * p) - sum_p**2
    spread_a[spread_a <= 1e-12 * n * total(a * a)] = np.nan
    spread_p[spread_p <= 1e-12 * n * total(p * p)] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        pearson = np.clip((n * total(a * p) - sum_a * sum_p) / np.sqrt(spread_a * spread_p), -1, 1)
        r2 = 1 - n * total(error**2) / spread_a
        deviation = _deviation(a, sum_a / n, weights, window)
        explained = 1 - total(np.abs(error)) / np.where(np.isnan(spread_a), np.nan, deviation)
    return {
        "pearson": figure(pearson, PREDICTION_IS_FLAT),
        "r2": figure(r2, TRUTH_IS_FLAT),
        "absolute_deviation_explained": figure(explained, TRUTH_IS_FLAT),
    }


def _resampled(active: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.float64]:
    """[1 + resamples, windows] how often each window is taken: once, and as drawn with replacement from its sort."""
    weights = np.ones((1 + RESAMPLES, len(active)))
    for sort in (True, False):
        places = np.flatnonzero(active == sort)
        if len(places):
            weights[1:, places] = generator.multinomial(len(places), np.full(len(places), 1 / len(places)), RESAMPLES)
    return weights


def _deviation(
    a: NDArray[np.float64], means: NDArray[np.float64], weights: NDArray[np.float64], window: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The sum of absolute deviations of ``a`` from the mean of every resample, in it."""
    found, lengths = np.empty(len(means)), np.bincount(window, minlength=weights.shape[1])
    step = max(1, AT_ONCE // len(a))
    for begin in range(0, len(means), step):
        part = slice(begin, begin + step)
        apart = a - means[part, None]
        np.abs(apart, out=apart)
        apart *= np.repeat(weights[part], lengths, axis=1)
        found[part] = apart.sum(axis=1)
    return found
