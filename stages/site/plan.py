"""Which latents of a coder are in which shard; decided once, and the same whoever writes them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.examples import by_kind
from stages.examples.table import Examples
from stages.site.shards import latents_a_shard


@dataclass(frozen=True)
class Plan:
    """The partition of a coder's latents."""

    kept: pa.Table
    """Their rows of the latents table, in increasing order."""
    dropped: pa.Table
    """Those that were chosen, but dropped."""
    size: int
    """Kept latents of a shard."""

    @classmethod
    def of(cls, examples: Examples) -> Plan:
        """Returns the plan of a coder; raises GlossaError if its latents table is missing or damaged."""
        table = examples.latents.sort_by("latent")
        is_kept = table["dropped"].is_null()
        kept, dropped = table.filter(is_kept), table.filter(pc.invert(is_kept))
        silent = by_kind.numbers(kept["n_negatives"])
        judged = (pc.sum(kept["n_test"]).as_py() or 0) + sum(int(n.sum()) for n in silent.values())
        return cls(kept, dropped, latents_a_shard(examples.meta["window"], judged / max(1, len(kept))))

    @property
    def firsts(self) -> list[int]:
        """The first latent of every shard."""
        return self.kept["latent"].to_pylist()[:: self.size]

    @property
    def numbers(self) -> range:
        """The numbers of the shards."""
        return range(-(-len(self.kept) // self.size))

    def facts(self, number: int) -> pa.Table:
        """The rows of a shard's latents."""
        return self.kept.slice(number * self.size, self.size)

    def bounds(self, number: int) -> tuple[int, int]:
        """The first and the last latent of a shard."""
        latents = self.facts(number)["latent"]
        return latents[0].as_py(), latents[-1].as_py()

    def dropped_in(self, number: int) -> list[tuple[int, str]]:
        """The dropped latents in the range of a shard, and why; those before the first shard are in it."""
        ends = [-1, *self.firsts[1:], np.iinfo(np.int32).max]
        low, high = list(pairwise(ends))[number]
        rows = self.dropped.filter(
            pc.and_(pc.greater_equal(self.dropped["latent"], low), pc.less(self.dropped["latent"], high))
        )
        return list(zip(rows["latent"].to_pylist(), rows["dropped"].to_pylist(), strict=True))

    def holding(self, latents: set[int]) -> list[int]:
        """The numbers of the shards that hold any of ``latents``."""
        has = np.isin(self.kept["latent"].to_numpy(), list(latents))
        return np.unique(np.flatnonzero(has) // self.size).tolist()
