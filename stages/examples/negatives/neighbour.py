"""``neighbour``: windows in which latents fire that often fire together with this one, and this one does not.

They test whether an explanation tells a latent from those that a wider coder split it from (arXiv 2410.13928, §5, names
them as what is missing). Closeness is that of firing, not of decoder directions: the store knows it exactly, and
latents that are close in what they write but never fire near each other give no harder windows than random ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.examples.batches import batches, text_only
from stages.examples.cooccurrence import neighbours
from stages.examples.grid import Grid
from stages.examples.negatives import Batch, Found, Setting
from stages.examples.negatives.pick import first, found
from stages.examples.split import rank
from stages.examples.windows import blocks, firing
from stages.latents.store import LatentStore

NEIGHBOURS = 10
"""Latents whose windows are tried."""
STRONGEST = 64
"""Windows of each of them that are tried."""


@dataclass(frozen=True)
class Neighbour:
    """Takes from each neighbour in turn the strongest window in which the latent is silent, then the next, and so on."""

    latents: NDArray[np.int64]
    """All that are sampled, increasing."""
    closest: NDArray[np.int64]
    """[latents, NEIGHBOURS] rows of ``strongest``, the closest first, -1 for none."""
    strongest: NDArray[np.int64]
    """[neighbours + 1, STRONGEST] blocks in which they fire most, the strongest first, -1 for none; the last row is empty."""
    facts: dict[str, Any]

    def find(self, batch: Batch, n: int) -> Found:
        """Returns up to ``n`` silent blocks for every latent."""
        tried = self.strongest[self.closest[np.searchsorted(self.latents, batch.events.latents)]]
        owners = np.arange(batch.n_latents)
        silent = tried >= 0
        silent[silent] = ~batch.busy.holds(np.nonzero(silent)[0], tried[silent])
        turns = np.where(silent, np.cumsum(silent, axis=2), STRONGEST + 1).reshape(batch.n_latents, -1)
        # All that take a turn stand in the order of the neighbours; as many windows as can be wanted are among these.
        order = np.argsort(turns, axis=1, kind="stable")[:, : n * NEIGHBOURS]
        tried = np.where(silent, tried, -1).reshape(batch.n_latents, -1)
        return found(first(np.take_along_axis(tried, order, axis=1), batch.busy, n, owners))


def source(setting: Setting) -> Neighbour:
    """Returns the source of neighbour negatives."""
    closest, stride = neighbours(setting.store, setting.latents, NEIGHBOURS, setting.grid)
    tried = np.unique(closest[closest >= 0])
    strongest = np.full((len(tried) + 1, STRONGEST), -1, np.int64)
    strongest[:-1] = _strongest(setting.store, tried, setting.grid)
    rows = np.where(closest >= 0, np.searchsorted(tried, closest), len(tried))
    return Neighbour(setting.latents, rows, strongest, {"neighbours": NEIGHBOURS, "every_nth_token": stride})


def _strongest(store: LatentStore, latents: NDArray[np.int64], grid: Grid) -> NDArray[np.int64]:
    table = np.full((len(latents), STRONGEST), -1, np.int64)
    row = 0
    for events in batches(store, latents):
        windows = firing(blocks(text_only(events, grid.context_length, grid.skipped), grid.window), grid)
        ranking = rank(windows)
        owners = np.repeat(np.arange(len(events.latents)), np.diff(windows.bounds))
        places = np.arange(len(owners)) - windows.bounds[owners]
        near = places < STRONGEST
        table[row + owners[near], places[near]] = windows.starts[ranking.order[near]] // grid.window
        row += len(events.latents)
    return table
