"""``surface``: silent windows that hold the token on which the latent fires most.

An explanation that names the token but not what must be around it takes them for windows in which the latent fires.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.corpus.tokens import Tokens
from stages.examples.grid import Grid
from stages.examples.hashing import mix
from stages.examples.negatives import Batch, Found, Setting
from stages.examples.negatives.pick import draw
from stages.examples.windows import ranges

SALT = np.uint64(0x53555246)


@dataclass(frozen=True)
class Surface:
    """Draws from the occurrences of a token."""

    grid: Grid
    tokens: NDArray[np.int32]
    """[positions] of the corpus."""
    places: NDArray[np.int64]
    """Positions in usable blocks, sorted by the token that stands there."""
    bounds: NDArray[np.int64]
    """Those of token t are places[bounds[t]:bounds[t + 1]]."""
    facts: dict[str, Any] = field(default_factory=dict)

    def find(self, batch: Batch, n: int) -> Found:
        """Returns up to ``n`` silent blocks for every latent."""
        top = top_tokens(batch, self.tokens)
        pools = np.where(top >= 0, self.bounds[top + 1] - self.bounds[top], 0)

        def lookup(owners: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
            return self.places[self.bounds[top[owners]] + places] // self.grid.window

        return draw(mix(batch.keys ^ SALT), pools, lookup, batch.busy, n)


def top_tokens(batch: Batch, tokens: NDArray[np.int32]) -> NDArray[np.int64]:
    """Returns, for every latent, the token with the largest sum of activations in its train windows; -1 if it has none."""
    train = batch.split.train
    lengths = batch.windows.last[train] - batch.windows.first[train]
    events = ranges(batch.windows.first[train], lengths)
    owners = np.repeat(batch.owners(train), lengths)
    pairs, place = np.unique(
        owners << 32 | tokens[batch.events.positions[events]].astype(np.int64), return_inverse=True
    )
    sums = np.bincount(place, np.maximum(batch.events.values[events], 0), len(pairs))
    ordered = pairs[np.lexsort((pairs, -sums, pairs >> 32))]
    of, is_first = np.unique(ordered >> 32, return_index=True)
    top = np.full(batch.n_latents, -1, np.int64)
    top[of] = ordered[is_first] & (2**32 - 1)
    return top


def source(setting: Setting) -> Surface:
    """Returns the source of surface negatives."""
    return _index(setting.tokens, setting.grid)


def _index(tokens: Tokens, grid: Grid) -> Surface:
    flat = tokens.matrix.reshape(-1)
    places = np.argsort(flat, kind="stable")
    if grid.blocks is not None:
        places = places[grid.usable(places // grid.window)]
    if grid.skipped:
        places = places[places % grid.context_length >= grid.skipped]
    counts = np.bincount(flat[places], minlength=len(tokens.vocabulary.counts))
    return Surface(grid, flat, places, np.concatenate([[0], np.cumsum(counts)]))
