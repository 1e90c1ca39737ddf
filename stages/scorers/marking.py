"""Marks on windows: those of firing tokens, and others that nothing but their text tells from them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from stages.corpus.tokens import Vocabulary
from stages.examples.marks import Unit, units
from stages.examples.table import Windows

TRIES = 20
"""Placements of runs that are tried before a window is taken to be too full."""


def shown(windows: Windows, place: int, vocabulary: Vocabulary) -> list[Unit]:
    """Returns what the tokens of one window show."""
    return units(windows.tokens[place], windows.activations[place], vocabulary)


def masks_of(windows: Sequence[Sequence[Unit]], threshold: float) -> list[list[bool]]:
    """Returns for each window which units are marked: those from the share ``threshold`` of its maximum on."""
    found = []
    for window in windows:
        least = threshold * max((unit.activation for unit in window), default=0.0)
        found.append([unit.activation > 0 and unit.activation >= least for unit in window])
    return found


def like(masks: Sequence[Sequence[bool]], window: Sequence[Unit], generator: np.random.Generator) -> list[bool] | None:
    """Returns one of ``masks``, chosen at random among those that fit a window: whole if possible, else in part.

    None if none does: marks are never put on special tokens or behind the window's end.
    """
    n = len(window)
    wanted = _padded(tuple(map(tuple, masks)), n)
    fitting = wanted[:, :n] & [not unit.special for unit in window]
    marks = fitting.sum(axis=1)
    whole = (marks == wanted.sum(axis=1)) & (marks > 0)
    usable = np.flatnonzero(whole if whole.any() else marks > 0)
    return fitting[usable[generator.integers(len(usable))]].tolist() if len(usable) else None


@lru_cache(maxsize=4)
def _padded(masks: tuple[tuple[bool, ...], ...], n: int) -> NDArray[np.bool_]:
    """[masks, tokens] with no marks behind the end of each; at least ``n`` tokens."""
    found = np.zeros((len(masks), max([n, *map(len, masks)])), bool)
    for row, mask in enumerate(masks):
        found[row, : len(mask)] = mask
    return found


def moved(mask: Sequence[bool], window: Sequence[Unit], generator: np.random.Generator) -> list[bool] | None:
    """Returns as many runs of marks of the same lengths, on units on which the latent is silent; None if there is no room.

    Runs do not touch each other, and there is no mark on a special token.
    """
    runs = [len(list(group)) for is_marked, group in groupby(mask) if is_marked]
    free = [unit.activation == 0 and not unit.special for unit in window]
    for _ in range(TRIES if runs else 0):
        found = _placed(sorted(runs, reverse=True), free, generator)
        if found is not None:
            return found
    return None


def _placed(runs: Sequence[int], free: Sequence[bool], generator: np.random.Generator) -> list[bool] | None:
    found = [False] * len(free)
    for length in runs:
        starts = [
            start
            for start in range(len(free) - length + 1)
            if all(free[start : start + length]) and not any(found[max(0, start - 1) : start + length + 1])
        ]
        if not starts:
            return None
        start = starts[generator.integers(len(starts))]
        found[start : start + length] = [True] * length
    return found
