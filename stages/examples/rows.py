"""What was chosen for the latents of a batch, on its way into the windows table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.examples.negatives import KINDS, Batch, Found
from stages.examples.split import DECILES
from stages.examples.table import ROLES, windows_schema
from stages.examples.windows import gather


class Rows(NamedTuple):
    """Windows of one purpose."""

    role: str
    kind: str | None
    owners: NDArray[np.int64]
    """Place of the latent in the batch."""
    starts: NDArray[np.int64]
    ranks: NDArray[np.int64]
    """Place in the batch's ranking; -1 where the latent is silent."""


def firing_rows(batch: Batch) -> list[Rows]:
    """The train, validation and test windows in which the latents fire."""
    found = []
    for role in ROLES:
        ranks = getattr(batch.split, role)
        starts = batch.windows.starts[batch.ranking.order[ranks]]
        found.append(Rows(role, None, batch.owners(ranks), starts, ranks))
    return found


def silent_rows(role: str, kind: str, found: Found, window: int) -> Rows:
    """The negatives of one kind for one role."""
    return Rows(role, kind, found.owners, found.blocks * window, np.full(len(found.owners), -1))


def counts(rows: Sequence[Rows], n_latents: int) -> dict[str, NDArray[np.int64]]:
    """The numbers of the latents table: windows of each role, and of the test's negatives those of each kind."""
    found = {}
    for part in rows:
        if part.kind is None or part.role == "test":
            found[f"n_{part.kind or part.role}"] = np.bincount(part.owners, minlength=n_latents)
    return found


def windows_table(batch: Batch, rows: Sequence[Rows], length: int) -> pa.Table:
    """Returns the windows of a batch with their activations (``windows_schema``)."""
    sizes = [len(part.owners) for part in rows]
    owners, starts, ranks = (np.concatenate([part[i] for part in rows]) for i in (2, 3, 4))
    roles = np.repeat([ROLES.index(part.role) for part in rows], sizes)
    kinds = np.repeat([0 if part.kind is None else 1 + list(KINDS).index(part.kind) for part in rows], sizes)
    fires = kinds == 0
    deciles = np.zeros(len(owners), np.int64)
    first = batch.windows.bounds[owners[fires]]
    deciles[fires] = (ranks[fires] - first) * DECILES // (batch.windows.bounds[owners[fires] + 1] - first) + 1
    # One number orders the rows: the strongest first where a latent fires, by place in the corpus where it is silent.
    key = ((owners << 2 | roles) << 3 | kinds) << 4 | deciles
    order = np.argsort(key << 40 | np.where(fires, ranks, starts))
    owners, starts, ranks, roles, kinds, deciles, fires = (
        column[order] for column in (owners, starts, ranks, roles, kinds, deciles, fires)
    )
    activations = gather(batch.windows, batch.ranking.order[ranks[fires]], batch.events, length)
    maxima = np.zeros(len(owners), np.float32)
    maxima[fires] = activations.max(axis=1, initial=0)
    offsets = np.concatenate([[0], np.cumsum(np.where(fires, length, 0))]).astype(np.int32)
    return pa.table(
        {
            "latent": batch.events.latents[owners].astype(np.int32),
            "role": pa.array(ROLES).take(pa.array(roles)),
            "kind": pa.array([None, *KINDS]).take(pa.array(kinds)),
            "decile": deciles.astype(np.int8),
            "start": starts,
            "max": maxima,
            "activations": pa.ListArray.from_arrays(offsets, activations.ravel(), mask=pa.array(~fires)),
        },
        schema=windows_schema(),
    )
