"""How often latents fire and on how frequent tokens: what two coders share before any explanation is read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.bootstrap import RESAMPLES, Figure, range_of, resamples
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples

CLASSES = 5
"""Classes of equally many latents of the two coders together."""


class Firing(NamedTuple):
    """Facts of all latents of one coder, [latents] each; NaN for latents that were not sampled or dropped."""

    density: NDArray[np.float64]
    """Logarithm to the base 10 of the share of ordinary tokens on which the latent fires."""
    frequency: NDArray[np.float64]
    """Mean logarithm of how often the corpus has the tokens on which it fires most, over its train windows."""


def read(examples: Examples, tokens: Tokens | None) -> Firing:
    """Reads the facts of one coder; without ``tokens`` all frequencies are NaN."""
    table = examples.latents.filter(examples.latents["dropped"].is_null())
    density, frequency = np.full((2, examples.meta["n_latents"]), np.nan)
    latents = table["latent"].to_numpy()
    density[latents] = np.log10(table["density"].to_numpy())
    if tokens is not None and len(latents):
        owners, positions = _strongest(examples.windows)
        logarithms = np.log10(tokens.vocabulary.counts[tokens.matrix.reshape(-1)[positions]])
        total = np.bincount(owners, logarithms, len(frequency))
        windows = np.bincount(owners, minlength=len(frequency))
        np.divide(total, windows, out=frequency, where=windows > 0)
    return Firing(density, frequency)


def _strongest(windows: pa.Table) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Returns the latent of every train window and the flat position at which it fires most there."""
    chosen = windows.filter(pc.and_(pc.equal(windows["role"], "train"), windows["kind"].is_null()))
    flat = chosen["activations"].combine_chunks().flatten().to_numpy()
    columns = flat.reshape(len(chosen), -1).argmax(axis=1) if len(chosen) else np.empty(0, np.int64)
    return chosen["latent"].to_numpy(), chosen["start"].to_numpy() + columns


def classes(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the class, 0 … ``CLASSES`` - 1 by quantiles of both together, of every value; -1 for NaN."""
    both = np.concatenate([a, b])
    both = both[~np.isnan(both)]
    edges = np.quantile(both, np.arange(1, CLASSES) / CLASSES) if len(both) else np.empty(0)
    found = [np.searchsorted(edges, side, side="right") for side in (a, b)]
    return np.where(np.isnan(a), -1, found[0]), np.where(np.isnan(b), -1, found[1])


def distance(a: Firing, b: Firing, generator: np.random.Generator) -> Figure:
    """Returns how far the distributions of density lie apart, in decades: the Wasserstein distance of the logarithms."""
    from scipy.stats import wasserstein_distance

    x, y = (side.density[~np.isnan(side.density)] for side in (a, b))
    if not len(x) or not len(y):
        return Figure(reason="no latent of one of the coders was sampled")
    draws = [
        wasserstein_distance(x[generator.integers(len(x), size=len(x))], y[generator.integers(len(y), size=len(y))])
        for _ in range(RESAMPLES)
    ]
    return range_of(np.array(draws), wasserstein_distance(x, y), len(x) + len(y))


def correlation(x: NDArray[np.float64], y: NDArray[np.float64], generator: np.random.Generator) -> Figure:
    """Returns the Pearson correlation of x and y [pairs] where both are known, with its percentile bootstrap interval."""
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    n = len(x)
    if n < 3 or not x.std() or not y.std():
        return Figure(n=n, reason="fewer than three matched pairs were sampled on both sides, or all fire alike")
    x, y = x - x.mean(), y - y.mean()
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw may hold one value only
        drawn = np.concatenate([_pearson(x[draw], y[draw]) for draw in resamples(n, generator)])
    return range_of(drawn, _pearson(x[None], y[None])[0], n)


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row by row."""
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    return (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
