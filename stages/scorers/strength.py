"""How strongly latents have to be raised for a given effect: a search for the strength at which a divergence is met.

Edits are only compared at the same divergence, because a strong one is easily explained (arXiv 2410.13928, App. G).
"""

from __future__ import annotations

from collections.abc import Callable
from math import log10
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LOWEST, FIRST, HIGHEST = -3.0, 2.0, 4.0
"""Of log10 of the strength: where the search begins, and between what it stays."""
STEPS = 10
WITHIN = 0.1
"""How far a divergence may be from the one wanted, relative to it."""
EDGE = 0.1
"""How near, as a share of what is left, the next strength may come to one that was tried."""

Divergence = Callable[[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]
"""(places [n], strengths [n]) -> what each comes to [n]."""


class Tuned(NamedTuple):
    """The last strength that was tried, and what it comes to."""

    strength: float
    divergence: float
    steps: int
    converged: bool


class _Search:
    """Between ``low``, where too little happens, and ``high``, where too much; each (log10 strength, divergence if tried)."""

    def __init__(self) -> None:
        self.low: tuple[float, float | None] = (LOWEST, None)
        self.high: tuple[float, float | None] = (HIGHEST, None)
        self.at = FIRST

    def observe(self, divergence: float, target: float) -> None:
        """Takes what the strength at ``at`` comes to, and chooses the next one."""
        if divergence < target:
            self.low = (self.at, divergence or None)
        else:
            self.high = (self.at, divergence if np.isfinite(divergence) else None)
        (low, less), (high, more) = self.low, self.high
        share = 0.5
        if less is not None and more is not None:
            share = (log10(target) - log10(less)) / (log10(more) - log10(less))
            share = min(max(share, EDGE), 1 - EDGE)
        self.at = low + share * (high - low)


def tune(divergence: Divergence, n: int, target: float) -> list[Tuned]:
    """Returns the strength at which each of ``n`` edits comes to ``target``, each on its own, though they are tried together.

    It goes by straight lines in logarithms where it has a strength on either side, else by halves.
    """
    searches = [_Search() for _ in range(n)]
    found: dict[int, Tuned] = {}
    for step in range(1, STEPS + 1):
        open_ = [place for place in range(n) if place not in found or not found[place].converged]
        if not open_:
            break
        strengths = np.array([10 ** searches[place].at for place in open_])
        values = divergence(np.array(open_), strengths)
        for place, strength, value in zip(open_, strengths.tolist(), values.tolist(), strict=True):
            met = abs(value - target) <= WITHIN * target
            found[place] = Tuned(strength, value, step, met)
            if not met:
                searches[place].observe(value if np.isfinite(value) else np.inf, target)
    return [found[place] for place in range(n)]
