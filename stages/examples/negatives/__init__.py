"""Windows in which a latent is silent, one file for each way to find them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stages import params, registry
from stages.corpus.tokens import Tokens
from stages.examples.batches import Events
from stages.examples.grid import Grid
from stages.examples.split import Ranking, Split
from stages.examples.windows import Busy, Firing
from stages.latents.store import LatentStore


class Found(NamedTuple):
    """Blocks in which latents are silent: of each latent as many as were wanted, or as there are."""

    owners: NDArray[np.int64]
    """Place of the latent in its batch, never decreasing."""
    blocks: NDArray[np.int64]

    def of(self, chosen: NDArray[np.bool_]) -> Found:
        """Returns what was found for the latents, by place in the batch, that are ``chosen``."""
        kept = chosen[self.owners]
        return Found(self.owners[kept], self.blocks[kept])


class Batch(NamedTuple):
    """What is known of some latents when their negatives are chosen."""

    keys: NDArray[np.uint64]
    """[latents] from which all choices follow."""
    events: Events
    windows: Firing
    ranking: Ranking
    split: Split
    busy: Busy

    @property
    def n_latents(self) -> int:
        """Latents of the batch."""
        return len(self.keys)

    def owners(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the place in the batch of the latent that each of the windows, given by number, is of."""
        return np.searchsorted(self.windows.bounds, windows, side="right") - 1


@dataclass(frozen=True)
class Setting:
    """What the sources of negatives may look at."""

    store: LatentStore
    tokens: Tokens
    grid: Grid
    latents: NDArray[np.int64]
    """All that are sampled, increasing."""
    sampling: params.Sampling
    seed: int


class Source(Protocol):
    """What every kind's module offers as ``source(setting)``."""

    facts: dict[str, Any]
    """What belongs into the meta, such as a cap."""

    def find(self, batch: Batch, n: int) -> Found:
        """Returns up to ``n`` blocks for every latent, none of which is in ``batch.busy``.

        What is found for a latent depends on nothing but this latent, the store and the corpus.
        """


def load(kind: str, setting: Setting) -> Source:
    """Returns the source of negatives of this kind."""
    return registry.module(registry.NEGATIVES, kind, "sampling", "source").source(setting)
