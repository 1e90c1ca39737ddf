"""Figures with a 95 % bootstrap interval, and those of yes-or-no verdicts.

Functions take the observed numbers as row 0 and those of the resamples as further rows, so that a value and its interval come
from one formula.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.scorers import Metric

BALANCED_ACCURACY = Metric("balanced_accuracy", "balanced accuracy", chance=0.5)
AUROC = Metric("auroc", "AUROC", chance=0.5)

LABELS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "natural_f1": "natural F1",
    "natural_auprc": "natural AUPRC",
    "r2": "R²",
}
"""How people read the names of measures; others are read with spaces."""

RESAMPLES = 1000
LEVEL = (0.025, 0.975)

NO_ACTIVE = "no active example has a verdict"
NO_OTHER = "no non-activating example has a verdict"
NO_CALL = "no example was called active"
NO_RANDOM = "no negative drawn at random has a verdict"
NO_RATE = "it is not known in how many windows the latent fires"


def called(measure: str) -> str:
    """Returns what a measure is called where people read it."""
    return LABELS.get(measure, measure.replace("_", " "))


class Figure(NamedTuple):
    """A value and its 95 % interval, or the reason why it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


class Calls(NamedTuple):
    """How many examples of one sort were called active, of how many."""

    yes: int
    n: int

    @property
    def share(self) -> float:
        """The share called active; not a number where there is no example."""
        return self.yes / self.n if self.n else float("nan")


def figure(values: NDArray[np.float64], reason: str) -> Figure:
    """Returns the figure of [1 + resamples] ``values``, or ``reason`` if the first is no number.

    The interval is that of the resamples in which the figure is defined.
    """
    if not np.isfinite(values[0]):
        return Figure(None, reason=reason)
    ordered = np.sort(values[1:])  # what is no number comes last
    n = int(np.isfinite(ordered).sum())
    if not n:
        return Figure(float(values[0]))
    low, high = np.interp(np.array(LEVEL) * (n - 1), np.arange(n), ordered[:n])
    return Figure(float(values[0]), float(low), float(high))


def classified(
    active: Calls, negatives: Mapping[str, Calls], rate: float | None, generator: np.random.Generator
) -> dict[str, Figure]:
    """Returns what the verdicts on one latent come to; resamples the active examples and each kind of negatives apart.

    ``natural_precision`` and ``natural_f1`` are those of windows met as often as in the corpus: of all windows, those in which
    the latent fires are the share ``rate``, and the others are like the negatives of the kind ``random`` (see Oikarinen et al.,
    arXiv 2506.05774, for why balanced samples hide a lack of precision).
    """
    true = _drawn(active, generator)
    false = {kind: _drawn(calls, generator) for kind, calls in negatives.items()}
    others = sum(calls.n for calls in negatives.values())
    wrong = np.sum(list(false.values()), axis=0) if false else np.zeros(1 + RESAMPLES)
    random = negatives.get("random", Calls(0, 0))
    share = np.nan if rate is None else rate
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = true / active.n if active.n else np.full_like(true, np.nan)
        specificity = 1 - wrong / others if others else np.full_like(true, np.nan)
        called = np.where(others, true + wrong, np.nan)
        natural = share * sensitivity
        naturally_wrong = (1 - share) * false["random"] / random.n if random.n else np.full_like(true, np.nan)
        found = {
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "precision": true / called if active.n else np.full_like(true, np.nan),
            "f1": 2 * true / (called + active.n) if active.n else np.full_like(true, np.nan),
            "natural_precision": natural / (natural + naturally_wrong),
            "natural_f1": 2 * natural / (natural + naturally_wrong + share),
        }
    one_class = NO_OTHER if active.n else NO_ACTIVE
    unnatural = NO_ACTIVE if not active.n else NO_RANDOM if not random.n else NO_RATE if rate is None else NO_CALL
    reasons = {
        "specificity": NO_OTHER,
        "precision": NO_CALL if active.n and others else one_class,
        "natural_precision": unnatural,
        "natural_f1": unnatural,
    }
    return {metric: figure(values, reasons.get(metric, one_class)) for metric, values in found.items()}


def share(calls: Calls, generator: np.random.Generator, reason: str) -> Figure:
    """Returns the share of what was called so, or ``reason`` if there is nothing."""
    return figure(_drawn(calls, generator) / calls.n, reason) if calls.n else Figure(None, reason=reason)


def _drawn(calls: Calls, generator: np.random.Generator) -> NDArray[np.float64]:
    """How many are called active, observed and in resamples."""
    drawn = generator.binomial(calls.n, calls.share, RESAMPLES) if calls.n else np.zeros(RESAMPLES)
    return np.concatenate([[calls.yes], drawn]).astype(np.float64)


def mean(values: NDArray[np.float64], generator: np.random.Generator) -> Figure:
    """Returns the mean over latents; resamples latents."""
    if not len(values):
        return Figure(None, reason="no latent has a score")
    drawn = values[generator.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    return figure(np.concatenate([[values.mean()], drawn]), "")
