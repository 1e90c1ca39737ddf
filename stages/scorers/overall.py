"""What measures come to over all latents: means, each with the interval of a bootstrap over latents."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.bootstrap import RESAMPLES, figure

AT_ONCE = 50
"""Resamples that are drawn together, as all of them would not fit in memory for many latents."""


class Overall:
    """What scores, measures and verdicts with one sort of explanations come to; they may come in parts, latent by latent."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], int] = {}
        """By metric and subset, its column."""
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
        """Of measures the latents, columns and values."""
        self._latents = 0
        self._without = (Counter[str | None](), Counter[str | None]())
        """Latents without a score and examples without a verdict, by reason."""

    def add(self, verdicts: pa.Table, scores: pa.Table, measures: pa.Table) -> None:
        """Takes rows of ``table.verdicts_schema``, ``scores_schema`` and ``measures_schema``."""
        self._latents += len(scores)
        columns = self._columns(measures["metric"], measures["subset"])
        values = measures["value"].to_numpy().astype(np.float64)
        self._parts.append((measures["latent"].to_numpy().astype(np.int64), columns, values))
        latents = scores.filter(scores["score"].is_null())
        examples = verdicts.filter(pc.and_(verdicts["predicted"].is_null(), verdicts["value"].is_null()))
        for counter, found in zip(self._without, (latents, examples), strict=True):
            counter.update(found["reason"].to_pylist())

    def void(self, reason: str) -> None:
        """Forgets all values, as there is no score for this ``reason``."""
        self._parts = [(latents, columns, np.full_like(values, np.nan)) for latents, columns, values in self._parts]
        self._without[0].clear()
        self._without[0].update({reason: self._latents} if self._latents else {})

    def _columns(self, metrics: pa.ChunkedArray, subsets: pa.ChunkedArray) -> NDArray[np.int64]:
        """[rows] the column of every measure; those that were not there yet get the next ones, in the order in which they come."""
        parts = [column.combine_chunks().dictionary_encode() for column in (metrics, subsets)]
        (metric, what), (named, whats) = zip(
            *((p.indices.to_numpy(), p.dictionary.to_pylist()) for p in parts), strict=True
        )
        pairs, first, which = np.unique(metric * len(whats) + what, return_index=True, return_inverse=True)
        places = np.empty(len(pairs), np.int64)
        for place in np.argsort(first).tolist():
            number, other = divmod(int(pairs[place]), len(whats))
            places[place] = self._places.setdefault((named[number], whats[other]), len(self._places))
        return places[which]

    def means(self, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
        """Returns {metric: {of: {value, low, high, n_latents}}}.

        ``value`` is the mean over the latents for which a measure is defined; where there is none, a ``reason`` stands beside it.
        """
        if not self._places:
            return {}
        latents, columns, found = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        owners, rows = np.unique(latents, return_inverse=True)
        values = np.full((len(owners), len(self._places)), np.nan)
        values[rows, columns] = found
        drawn = _means(values, np.random.default_rng([seed, 0xA11]))
        defined = np.isfinite(values).sum(axis=0)
        told: dict[str, dict[str, dict[str, Any]]] = {}
        for (metric, of), column in self._places.items():
            mean = figure(drawn[:, column], "it is defined for no latent")
            facts: dict[str, Any] = {
                "value": mean.value,
                "low": mean.low,
                "high": mean.high,
                "n_latents": int(defined[column]),
            }
            told.setdefault(metric, {})[of] = facts | ({"reason": mean.reason} if mean.reason else {})
        return told

    def unscored(self) -> dict[str, Any]:
        """Returns how many latents have no score, how many examples no verdict, and {reason: how many} of either."""
        found: dict[str, Any] = {}
        for name, counter in zip(("latents", "examples"), self._without, strict=True):
            found |= {name: counter.total(), f"{name}_by_reason": dict(sorted(counter.items()))}
        return found


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
