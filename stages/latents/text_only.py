"""A store without what fires where rows hold no text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stages.latents import spec
from stages.latents.store import LatentStore

STATISTICS = ("count", "sum", "square_sum")


class TextOnly:
    """A store as if nothing fired in the first ``skipped`` columns of rows of ``length`` tokens.

    Models without a token that begins a text put attention that they have no use for on the first position of a row. Its activations
    are hundreds of times those of text, so that sums over all tokens, of which correlations and CKA are made, would tell of it alone.
    """

    def __init__(self, store: LatentStore, length: int, skipped: int):
        self._store, self._length, self._skipped = store, length, skipped

    @property
    def meta(self) -> dict[str, Any]:
        """See ``LatentStore``."""
        return self._store.meta

    @property
    def shape(self) -> tuple[int, int]:
        """See ``LatentStore``; positions without text are counted."""
        return self._store.shape

    @property
    def indptr(self) -> NDArray[np.int64]:
        """[latents + 1] that of the store: how many events there are at most."""
        return self._store.indptr

    def statistic(self, name: str) -> NDArray:
        """[latents] ``count``, ``sum`` or ``square_sum``."""
        return self._statistics[name]

    def latent(self, latent: int) -> tuple[NDArray, NDArray[np.float32]]:
        """See ``LatentStore``."""
        positions, values = self._store.latent(latent)
        kept = self._is_text(positions)
        return positions[kept], values[kept]

    def scan(
        self, events_at_once: int = spec.SHARD
    ) -> Iterator[tuple[int, NDArray, NDArray[np.float32], NDArray[np.int64]]]:
        """See ``LatentStore``."""
        for first, positions, values, offsets in self._store.scan(events_at_once):
            kept = self._is_text(positions)
            yield first, positions[kept], values[kept], np.concatenate([[0], np.cumsum(kept)])[offsets]

    def csr(self) -> sparse.csr_array:
        """See ``LatentStore``."""
        whole = self._store.csr()
        kept = self._is_text(whole.indices)
        offsets = np.concatenate([[0], np.cumsum(kept)])[whole.indptr]
        return sparse.csr_array((whole.data[kept], whole.indices[kept], offsets), shape=whole.shape)

    def _is_text(self, positions: NDArray) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = positions % self._length >= self._skipped
        return found

    @cached_property
    def _statistics(self) -> dict[str, NDArray]:
        """Those of the store, less what is left out."""
        found = {name: self._store.statistic(name).copy() for name in STATISTICS}
        for first, positions, values, offsets in self._store.scan():
            left_out = ~self._is_text(positions)
            owners = first + np.searchsorted(offsets, np.flatnonzero(left_out), side="right") - 1
            amounts = values[left_out].astype(np.float64)
            n = len(found["count"])
            for name, weights in (("count", None), ("sum", amounts), ("square_sum", amounts**2)):
                found[name] -= np.bincount(owners, weights, n).astype(found[name].dtype)
        return found


def text_only(store: LatentStore, length: int, skipped: int) -> LatentStore | TextOnly:
    """Returns a store without the first ``skipped`` columns of rows of ``length`` tokens; see ``TextOnly``."""
    return TextOnly(store, length, skipped) if skipped else store
