"""What was chosen for the latents of a batch, on its way into the windows table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.examples.negatives import Batch, Found
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


def counts(rows: Sequence[Rows], n_latents: int) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]]]:
    """The numbers of the latents table: ``n_<role>``, windows in which they fire, and the test's negatives by kind."""
    firing, negatives = {}, {}
    for part in rows:
        n = np.bincount(part.owners, minlength=n_latents)
        if part.kind is None:
            firing[f"n_{part.role}"] = n
        elif part.role == "test":
            negatives[part.kind] = n
    return firing, negatives


def windows_table(batch: Batch, rows: Sequence[Rows], length: int) -> pa.Table:
    """Returns the windows of a batch with their activations (``windows_schema``).

    Those of a latent and role are ordered as their ``rows`` are: first where it fires, then its negatives kind by kind.
    """
    parts = sorted(rows, key=lambda part: ROLES.index(part.role))
    owners, starts, ranks = (np.concatenate([part[i] for part in parts]) for i in (2, 3, 4))
    part_of = np.repeat(np.arange(len(parts)), [len(part.owners) for part in parts])
    fires = np.array([part.kind is None for part in parts])[part_of]
    deciles = np.zeros(len(owners), np.int64)
    first = batch.windows.bounds[owners[fires]]
    deciles[fires] = (ranks[fires] - first) * DECILES // (batch.windows.bounds[owners[fires] + 1] - first) + 1
    # One number orders the rows: the strongest first where a latent fires, by place in the corpus where it is silent. There are
    # 23 bits for latents times parts; a batch has 2**10 latents at most, and a kind of negatives three parts.
    order = np.argsort((owners * len(parts) + part_of) << 40 | np.where(fires, ranks, starts))
    owners, starts, ranks, part_of, deciles, fires = (
        column[order] for column in (owners, starts, ranks, part_of, deciles, fires)
    )
    activations = gather(batch.windows, batch.ranking.order[ranks[fires]], batch.events, length)
    maxima = np.zeros(len(owners), np.float32)
    maxima[fires] = activations.max(axis=1, initial=0)
    offsets = np.concatenate([[0], np.cumsum(np.where(fires, length, 0))]).astype(np.int32)
    return pa.table(
        {
            "latent": batch.events.latents[owners].astype(np.int32),
            "role": pa.array([part.role for part in parts], pa.string()).take(pa.array(part_of)),
            "kind": pa.array([part.kind for part in parts], pa.string()).take(pa.array(part_of)),
            "decile": deciles.astype(np.int8),
            "start": starts,
            "max": maxima,
            "activations": pa.ListArray.from_arrays(offsets, activations.ravel(), mask=pa.array(~fires)),
        },
        schema=windows_schema(),
    )
