"""What scores are, and the figures of yes-or-no verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.bootstrap import RESAMPLES, Figure, figure
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

NO_ACTIVE = "no active example has a verdict"
NO_OTHER = "no non-activating example has a verdict"
NO_CALL = "no example was called active"
NO_RANDOM = "no negative drawn at random has a verdict"
NO_RATE = "it is not known in how many windows the latent fires"


def called(measure: str) -> str:
    """Returns what a measure is called where people read it."""
    return LABELS.get(measure, measure.replace("_", " "))


class Calls(NamedTuple):
    """How many examples of one sort were called active, of how many."""

    yes: int
    n: int

    @property
    def share(self) -> float:
        """The share called active; not a number where there is no example."""
        return self.yes / self.n if self.n else float("nan")


def classified(
    active: Calls, negatives: Mapping[str, Calls], rate: float | None, generator: np.random.Generator
) -> dict[str, Figure]:
    """Returns what the verdicts on one latent come to; resamples the active examples and each kind of negatives apart.

    ``natural_precision`` and ``natural_f1`` are those of windows met as often as in the corpus: of all windows, those in which
    the latent fires are the share ``rate``, and the others are like the negatives of the kind ``random`` (see Oikarinen et al.,
    arXiv 2506.05774, for why balanced samples hide a lack of precision).
    """
    kinds = list(negatives)
    n = np.array([[calls.n for calls in (active, *negatives.values())]])
    drawn = np.stack([drawn_calls(calls, generator) for calls in (active, *negatives.values())])[None]
    place = 1 + kinds.index("random") if "random" in kinds else None
    found = rates(n, drawn, place, np.array([np.nan if rate is None else rate]))
    reasons = reasons_of(n, place, [rate is not None])
    return {metric: figure(values[0], reasons[metric][0]) for metric, values in found.items()}


def rates(
    n: NDArray[np.int64], drawn: NDArray[np.float64], random: int | None, rate: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """{metric: [latents, 1 + resamples]} of how many of ``n`` [latents, sorts] examples are called active.

    ``drawn`` [latents, sorts, 1 + resamples] are these numbers. The first sort are active examples, the others negatives of all
    kinds, of which ``random`` is the place of the kind of that name; ``rate`` [latents] is not a number where it is not known.
    """
    active, others = n[:, :1].astype(np.float64), n[:, 1:].sum(axis=1, keepdims=True).astype(np.float64)
    true, wrong, share = drawn[:, 0], drawn[:, 1:].sum(axis=1), rate[:, None]
    active[active == 0] = np.nan
    others[others == 0] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = true / active
        specificity = 1 - wrong / others
        called = true + wrong
        called[np.isnan(others[:, 0])] = np.nan
        natural = share * sensitivity
        if random is None:
            naturally_wrong = np.full_like(true, np.nan)
        else:
            naturally_wrong = (1 - share) * drawn[:, random] / np.where(n[:, random], n[:, random], np.nan)[:, None]
        precision = true / called
        precision[np.isnan(active[:, 0])] = np.nan
        return {
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "precision": precision,
            "f1": 2 * true / (called + active),
            "natural_precision": natural / (natural + naturally_wrong),
            "natural_f1": 2 * natural / (natural + naturally_wrong + share),
        }


def reasons_of(n: NDArray[np.int64], random: int | None, has_rate: Sequence[bool]) -> dict[str, list[str]]:
    """{metric: [latents] why it would be undefined}, of what ``rates`` takes."""
    found: dict[str, list[str]] = {}
    for counts, rated in zip(n.tolist(), has_rate, strict=True):
        one_class = NO_OTHER if counts[0] else NO_ACTIVE
        is_random = random is not None and counts[random]
        unnatural = NO_ACTIVE if not counts[0] else NO_RANDOM if not is_random else NO_CALL if rated else NO_RATE
        reasons = {
            "balanced_accuracy": one_class,
            "sensitivity": one_class,
            "specificity": NO_OTHER,
            "precision": NO_CALL if counts[0] and sum(counts[1:]) else one_class,
            "f1": one_class,
            "natural_precision": unnatural,
            "natural_f1": unnatural,
        }
        for metric, reason in reasons.items():
            found.setdefault(metric, []).append(reason)
    return found


def share(calls: Calls, generator: np.random.Generator, reason: str) -> Figure:
    """Returns the share of what was called so, or ``reason`` if there is nothing."""
    return figure(drawn_calls(calls, generator) / calls.n, reason) if calls.n else Figure(None, reason=reason)


def drawn_calls(calls: Calls, generator: np.random.Generator) -> NDArray[np.float64]:
    """How many are called active, observed and in resamples."""
    drawn = generator.binomial(calls.n, calls.share, RESAMPLES) if calls.n else np.zeros(RESAMPLES)
    return np.concatenate([[calls.yes], drawn]).astype(np.float64)
