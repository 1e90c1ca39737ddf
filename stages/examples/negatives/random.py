"""``random``: silent windows from anywhere in the corpus, each as likely as the others (arXiv 2410.13928, §3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.examples.grid import Grid
from stages.examples.hashing import mix
from stages.examples.negatives import Batch, Found, Setting
from stages.examples.negatives.pick import draw

SALT = np.uint64(0x52414E44)


@dataclass(frozen=True)
class Random:
    """Draws from all usable blocks."""

    grid: Grid
    facts: dict[str, Any] = field(default_factory=dict)

    def find(self, batch: Batch, n: int) -> Found:
        """Returns up to ``n`` silent blocks for every latent."""
        pools = np.full(batch.n_latents, self.grid.n_usable)
        return draw(mix(batch.keys ^ SALT), pools, self._lookup, batch.busy, n)

    def _lookup(self, owners: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
        return places if self.grid.blocks is None else self.grid.blocks[places]


def source(setting: Setting) -> Random:
    """Returns the source of random negatives."""
    return Random(setting.grid)
