"""``semantic``: silent windows that mean nearly the same as windows in which the latent fires.

They test whether an explanation names what the latent fires on, or only what the texts around it are about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.corpus.tokens import Tokens
from stages.examples.grid import Grid
from stages.examples.hashing import keys
from stages.examples.negatives import Batch, Found, Setting
from stages.examples.negatives.pick import first, found
from stages.machine import runtime

POOL = 2**15
"""Windows that are embedded, at random from a larger corpus: negatives are among them, and so are those they are near to."""
NEAR = 8
"""Windows of a latent, the strongest, to which negatives are near."""
SPARE = 4
"""Nearest windows that are looked at for each that is wanted; a latent may be active in the others."""
LATENTS = 32
"""Latents at once: bounds the memory, not the result."""
SCALE = 4000
"""Embeddings are rounded to whole numbers up to this, so that sums of their products stay below 2**24, where float32 is exact:
then neither the latents at once nor the processor decides which of two windows is nearer."""


@dataclass(frozen=True)
class Semantic:
    """Ranks the windows of a pool by their cosine with the nearest of a latent's own."""

    grid: Grid
    pool: NDArray[np.int64]
    """[pool] blocks, increasing."""
    vectors: NDArray[np.float32]
    """[pool, width] whole numbers."""
    facts: dict[str, Any]

    def find(self, batch: Batch, n: int) -> Found:
        """Returns up to ``n`` silent blocks for every latent."""
        chosen = np.full((batch.n_latents, n), -1, np.int64)
        if not len(self.pool):
            return found(chosen)
        own, bounds = self._own(batch)
        for start in range(0, batch.n_latents, LATENTS):
            end = min(start + LATENTS, batch.n_latents)
            rows = own[bounds[start] : bounds[end]]
            if not len(rows):
                continue
            products = self.vectors[rows] @ self.vectors.T
            sizes = np.diff(bounds[start : end + 1])
            latents = np.flatnonzero(sizes)
            nearest = np.maximum.reduceat(products, (bounds[start:end] - bounds[start])[latents], axis=0)
            chosen[start + latents] = self._best(nearest, batch, start + latents, n)
        return found(chosen)

    def _own(self, batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places in the pool of the strongest windows of every latent, and where those of each latent begin."""
        order, bounds = batch.ranking.order, batch.ranking.bounds
        blocks = batch.events.positions[batch.windows.first[order]] // self.grid.window
        places = np.minimum(np.searchsorted(self.pool, blocks), len(self.pool) - 1)
        inside = np.concatenate([[0], np.cumsum(self.pool[places] == blocks)])
        owners = np.repeat(np.arange(batch.n_latents), np.diff(bounds))
        near = (np.diff(inside) > 0) & (inside[1:] <= inside[bounds[owners]] + NEAR)
        return places[near], np.searchsorted(owners[near], np.arange(batch.n_latents + 1))

    def _best(self, nearest: NDArray[np.float32], batch: Batch, owners: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        """The ``n`` silent blocks with the largest of ``nearest`` [latents, pool]; the earlier of two that are as near."""
        # One number orders windows by nearness, then by place: products are whole numbers below 2**24.
        ordered = (nearest.astype(np.int64) << 24) - np.arange(len(self.pool))
        m = min(SPARE * n, len(self.pool))
        while True:
            best = -np.sort(-np.partition(ordered, -m, axis=1)[:, -m:], axis=1)
            chosen = first(self.pool[-best & (2**24 - 1)], batch.busy, n, owners)
            if m == len(self.pool) or (chosen >= 0).all():
                return chosen
            m = min(4 * m, len(self.pool))


def source(setting: Setting) -> Semantic:
    """Embeds the windows of the pool that no coder's sample has embedded yet, and returns the source of semantic negatives."""
    from stages.embeddings import embedder, memo

    model = embedder.load(setting.sampling.embedder, runtime.load().device)
    pool = choose_pool(setting.grid, setting.seed)
    of_blocks = texts(setting.tokens, pool, setting.grid.window)
    vector_of = memo.embed(model, of_blocks)
    vectors = np.array([vector_of[text] for text in of_blocks], np.float32)  # of no blocks, no rows of no width
    facts = {"embedder": model.identity, "windows_embedded": len(pool)}
    return Semantic(setting.grid, pool, np.rint(vectors * SCALE), facts)


def choose_pool(grid: Grid, seed: int) -> NDArray[np.int64]:
    """Returns the blocks that are embedded, increasing: all, or as many as ``POOL`` of a larger corpus."""
    usable = np.arange(grid.n_blocks) if grid.blocks is None else grid.blocks
    if len(usable) <= POOL:
        return usable
    return np.sort(usable[np.argsort(keys(seed, "semantic", usable), kind="stable")[:POOL]])


def texts(tokens: Tokens, blocks: NDArray[np.int64], window: int) -> list[str]:
    """The text of every block."""
    matrix = tokens.matrix.reshape(-1, window)
    return [tokens.vocabulary.text(row) for row in matrix[blocks].tolist()]
