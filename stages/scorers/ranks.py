"""The figures of a ranking: examples with values, the higher the surer that the latent fires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.bootstrap import RESAMPLES, Figure, figure
from stages.scorers.metrics import NO_RATE

NO_ACTIVE = "no active example has a value"
NO_OTHER = "no non-activating example has a value"
NO_RANDOM = "no negative drawn at random has a value"
RANDOM = "random"


def ranked(
    active: NDArray[np.float64],
    negatives: Mapping[str, NDArray[np.float64]],
    rate: float | None,
    generator: np.random.Generator,
) -> dict[str, Figure]:
    """Returns AUROC and AUPRC (average precision) of one latent's values; resamples active and each kind of negatives apart.

    ``natural_auprc`` weighs the active examples by ``rate``, the share of all windows in which the latent fires, and those of
    the kind ``random`` by the rest, and leaves the other kinds out.
    """
    n_others = sum(map(len, negatives.values()))
    if not len(active) or not n_others:
        reason = NO_OTHER if len(active) else NO_ACTIVE
        return {metric: Figure(None, reason=reason) for metric in ("auroc", "auprc", "natural_auprc")}
    # Within a stratum weights belong to places in the order of values, so that the order of examples tells nothing.
    strata = [np.sort(active)[::-1], *(np.sort(part)[::-1] for part in negatives.values())]
    kinds = ["", *negatives]
    once = _curves(strata, kinds, rate, [np.ones((len(part), 1)) for part in strata])
    many = _curves(strata, kinds, rate, [_resampled(len(part), generator) for part in strata])
    why = NO_RATE if rate is None else NO_RANDOM
    # Resamples are counted in single precision.
    return {metric: figure(np.clip(np.concatenate([once[metric], many[metric]]), 0, 1), why) for metric in once}


def auroc(active: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Returns the share of (active, other) pairs that the values order rightly, a tie counting half."""
    ordered = np.sort(others)
    below, upto = (np.searchsorted(ordered, active, side=side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(others))


class _Counted(NamedTuple):
    """How many examples of one sort lie above others, as weights count them; [others, resamples]."""

    above: NDArray[np.floating]
    not_below: NDArray[np.floating]


def _curves(
    strata: list[NDArray[np.float64]], kinds: list[str], rate: float | None, weights: list[NDArray[np.floating]]
) -> dict[str, NDArray[np.floating]]:
    """{metric: [resamples]} of strata of falling values, the first active, and [examples, resamples] weights of each."""
    active, drawn = strata[0], weights[0]
    merged = np.concatenate(strata[1:])
    order = np.argsort(-merged, kind="stable")
    right = _count(active, drawn, active).not_below
    wrong = _count(merged[order], np.concatenate(weights[1:])[order], active)
    n, n_others = len(active), len(merged)

    def mean(values: NDArray[np.floating]) -> NDArray[np.floating]:
        total: NDArray[np.floating] = np.einsum("ib,ib->b", drawn, values)
        return total / n

    found = {
        "auroc": 1 - mean(wrong.above + wrong.not_below) / (2 * n_others),
        "auprc": mean(_precision(right, wrong.not_below)),
        "natural_auprc": np.full(drawn.shape[1], np.nan),
    }
    place = kinds.index(RANDOM) if RANDOM in kinds else 0
    if place and len(strata[place]) and rate is not None:
        random = _count(strata[place], weights[place], active).not_below
        found["natural_auprc"] = mean(_precision(rate / n * right, (1 - rate) / len(strata[place]) * random))
    return found


def _precision(right: NDArray[np.floating], wrong: NDArray[np.floating]) -> NDArray[np.floating]:
    """The share that is right; 1 where nothing has been drawn, which is then not counted."""
    taken = right + wrong
    share: NDArray[np.floating] = np.divide(right, taken, out=np.ones_like(taken), where=taken > 0)
    return share


def _count(falling: NDArray[np.float64], weights: NDArray[np.floating], of: NDArray[np.float64]) -> _Counted:
    """Counts ``falling`` values that are above those ``of`` others, and that are not below them."""
    sums = np.concatenate([np.zeros((1, weights.shape[1]), weights.dtype), np.cumsum(weights, axis=0)])
    above, not_below = (np.searchsorted(-falling, -of, side=side) for side in ("left", "right"))
    return _Counted(sums[above], sums[not_below])


def _resampled(n: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """[n, resamples] how often each of n examples is drawn, of n draws with replacement."""
    if not n:
        return np.empty((0, RESAMPLES), np.float32)
    drawn = generator.integers(n, size=(n, RESAMPLES), dtype=np.uint32).astype(np.int64)
    places = drawn * RESAMPLES + np.arange(RESAMPLES)
    return np.bincount(places.ravel(), minlength=n * RESAMPLES).reshape(n, RESAMPLES).astype(np.float32)
