"""N-gram baselines for the toy subject: interpolated by Witten and Bell's rule, counted on the training rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Counts:
    """How often every n-gram of one order occurs, and how often and how diversely its history goes on."""

    def __init__(self, grams: NDArray[np.int64], vocabulary: int) -> None:
        self.keys, self.counts = np.unique(grams.ravel(), return_counts=True)
        histories = self.keys // vocabulary
        self.histories, first, self.followers = np.unique(histories, return_index=True, return_counts=True)
        self.totals = np.add.reduceat(self.counts, first)

    def smooth(self, grams: NDArray[np.int64], lower: NDArray[np.float64], vocabulary: int) -> NDArray[np.float64]:
        """Returns p(last | rest) of ``grams``, backed by ``lower``, their probabilities one order down."""
        count = _look_up(self.keys, self.counts, grams)
        history = grams // vocabulary
        total = _look_up(self.histories, self.totals, history)
        followers = _look_up(self.histories, self.followers, history)
        seen = total > 0
        smoothed = (count + followers * lower) / np.maximum(total + followers, 1)
        return np.where(seen, smoothed, lower)


def losses(train: NDArray, held_out: NDArray, vocabulary: int, orders: int = 3) -> list[float]:
    """Returns nats per token of the uni-, bi- … gram on ``held_out``, at the positions a causal model predicts.

    Every row is read on its own, as the subject does; its first token is never predicted.
    """
    probability = np.full((len(held_out), held_out.shape[1] - 1), 1.0 / vocabulary)
    found = []
    for order in range(1, orders + 1):
        counts = Counts(_grams(train, order, vocabulary), vocabulary)
        grams = _grams(held_out, order, vocabulary)[:, -probability.shape[1] :]
        here = probability[:, -grams.shape[1] :]
        here[:] = counts.smooth(grams.ravel(), here.ravel(), vocabulary).reshape(grams.shape)
        found.append(float(-np.log(probability).mean()))
    return found


def _grams(rows: NDArray, order: int, vocabulary: int) -> NDArray[np.int64]:
    width = rows.shape[1] - order + 1
    grams = np.zeros((len(rows), width), np.int64)
    for place in range(order):
        grams = grams * vocabulary + rows[:, place : place + width]
    return grams


def _look_up(keys: NDArray, values: NDArray, wanted: NDArray) -> NDArray:
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
