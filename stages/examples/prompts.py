"""Beginnings of windows for the subject to go on from: each ends with the first token on which the latent fires."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.examples.table import Windows

QUINTILES = 5
SHORTEST = 2
"""Tokens of a prompt: one on which the latent is silent, and one on which it fires."""


class Prompt(NamedTuple):
    """The beginning of a window."""

    start: int
    """Flat position of the window's first token."""
    decile: int
    tokens: list[int]
    """At least two; the latent fires on the last one, in its window, and on none before."""


def cut(windows: Windows, most: int | None = None) -> list[Prompt]:
    """Returns the windows, each cut right behind the first token on which the latent fires, which may be of either sign.

    One that fires on its first token is left out: nothing comes before. Of a prompt longer than ``most``, at least ``SHORTEST``, that
    many of its last tokens are kept.
    """
    found = []
    for place in range(len(windows)):
        fires = np.flatnonzero(windows.activations[place])
        if len(fires) and fires[0] > 0:
            tokens = windows.tokens[place, : fires[0] + 1].tolist()
            tokens = tokens if most is None else tokens[-most:]
            found.append(Prompt(int(windows.starts[place]), int(windows.deciles[place]), tokens))
    return found


def spread(prompts: list[Prompt], per_quintile: int, generator: np.random.Generator) -> list[Prompt]:
    """Returns ``per_quintile`` prompts at random from each fifth of the windows by strength, or as many as there are."""
    order = [prompts[place] for place in generator.permutation(len(prompts))]
    chosen = []
    for quintile in range(QUINTILES):
        own = [prompt for prompt in order if (prompt.decile - 1) * QUINTILES // 10 == quintile]
        chosen += own[:per_quintile]
    return chosen
