"""What measures come to over all latents: means, each with the interval of a bootstrap over latents."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.scorers.metrics import RESAMPLES, figure

AT_ONCE = 50
"""Resamples that are drawn together, as all of them would not fit in memory for many latents."""


def means(measures: pa.Table, explanation: str, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns {metric: {of: {value, low, high, n_latents}}} of one sort of explanations (``table.measures_schema``).

    ``value`` is the mean over the latents for which a measure is defined; where there is none, a ``reason`` stands beside it.
    """
    part = measures.filter(pc.equal(measures["explanation"], explanation))
    names = list(dict.fromkeys(zip(part["metric"].to_pylist(), part["of"].to_pylist(), strict=True)))
    if not names:
        return {}
    columns = {name: column for column, name in enumerate(names)}
    owners, rows = np.unique(part["latent"].to_numpy(), return_inverse=True)
    places = [columns[name] for name in zip(part["metric"].to_pylist(), part["of"].to_pylist(), strict=True)]
    values = np.full((len(owners), len(names)), np.nan)
    values[rows, places] = part["value"].to_numpy()
    drawn = _means(values, np.random.default_rng([seed, 0xA11]))
    defined = np.isfinite(values).sum(axis=0)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for column, (metric, of) in enumerate(names):
        mean = figure(drawn[:, column], "it is defined for no latent")
        facts: dict[str, Any] = {
            "value": mean.value,
            "low": mean.low,
            "high": mean.high,
            "n_latents": int(defined[column]),
        }
        found.setdefault(metric, {})[of] = facts | ({"reason": mean.reason} if mean.reason else {})
    return found


def unscored(scores: pa.Table, verdicts: pa.Table, explanation: str) -> dict[str, Any]:
    """Returns how many latents have no score, how many examples no verdict, and {reason: how many} of either."""
    latents = scores.filter(pc.and_(pc.equal(scores["explanation"], explanation), scores["score"].is_null()))
    without = pc.and_(verdicts["predicted"].is_null(), verdicts["value"].is_null())
    examples = verdicts.filter(pc.and_(pc.equal(verdicts["explanation"], explanation), without))
    return {
        "latents": len(latents),
        "latents_by_reason": dict(sorted(Counter(latents["reason"].to_pylist()).items())),
        "examples": len(examples),
        "examples_by_reason": dict(sorted(Counter(examples["reason"].to_pylist()).items())),
    }


def _means(values: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """[1 + resamples, columns] the means of the numbers in each column, observed and with the rows drawn with replacement."""
    n = len(values)
    defined = np.isfinite(values)
    filled = np.where(defined, values, 0.0)
    parts = [_weighted(np.ones((1, n)), filled, defined)]
    for first in range(0, RESAMPLES, AT_ONCE):
        count = min(AT_ONCE, RESAMPLES - first)
        places = generator.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        weights = np.bincount(places.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)
        parts.append(_weighted(weights, filled, defined))
    return np.concatenate(parts)


def _weighted(
    weights: NDArray[np.float64], filled: NDArray[np.float64], defined: NDArray[np.bool_]
) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights @ filled) / (weights @ defined.astype(np.float64))
