"""The figures that verdicts come to, each with a 95 % bootstrap interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = (2.5, 97.5)


class Figure(NamedTuple):
    """A value and its 95 % interval, or the reason why it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


class Classified(NamedTuple):
    """What a classifier's verdicts on one latent come to."""

    balanced_accuracy: Figure
    sensitivity: float | None
    specificity: float | None
    f1: float | None


def classified(active: NDArray[np.bool_], predicted: NDArray[np.bool_], generator: np.random.Generator) -> Classified:
    """Returns (sensitivity + specificity) / 2 and its parts; resamples active and other examples apart."""
    n_active, n_other = int(active.sum()), int((~active).sum())
    if not n_active or not n_other:
        missing = "active" if not n_active else "non-activating"
        return Classified(Figure(None, reason=f"no {missing} example has a verdict"), None, None, None)
    true_positive = int((active & predicted).sum())
    false_positive = int((~active & predicted).sum())
    sensitivity = true_positive / n_active
    specificity = 1 - false_positive / n_other
    drawn = generator.binomial(n_active, sensitivity, RESAMPLES) / n_active
    drawn = (drawn + generator.binomial(n_other, specificity, RESAMPLES) / n_other) / 2
    low, high = np.percentile(drawn, LEVEL)
    called = true_positive + false_positive
    f1 = 2 * true_positive / (called + n_active) if called + n_active else None
    return Classified(Figure((sensitivity + specificity) / 2, float(low), float(high)), sensitivity, specificity, f1)


def auroc(active: NDArray[np.bool_], values: NDArray[np.float64], generator: np.random.Generator) -> Figure:
    """Returns the share of (active, other) pairs that ``values`` orders rightly, a tie counting half."""
    higher, lower = values[active], values[~active]
    if not len(higher) or not len(lower):
        missing = "active" if not len(higher) else "non-activating"
        return Figure(None, reason=f"no {missing} example has a value")
    order = np.sign(higher[:, None] - lower[None, :]) / 2 + 0.5
    ups = generator.multinomial(len(higher), np.full(len(higher), 1 / len(higher)), RESAMPLES) / len(higher)
    downs = generator.multinomial(len(lower), np.full(len(lower), 1 / len(lower)), RESAMPLES) / len(lower)
    low, high = np.percentile(np.einsum("bi,bi->b", ups @ order, downs), LEVEL)
    return Figure(float(order.mean()), float(low), float(high))


def mean(values: NDArray[np.float64], generator: np.random.Generator) -> Figure:
    """Returns the mean over latents; resamples latents."""
    if not len(values):
        return Figure(None, reason="no latent has a score")
    drawn = values[generator.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(drawn, LEVEL)
    return Figure(float(values.mean()), float(low), float(high))
