"""data/examples of the version before, which others may share still: its latents table has a column for every kind of negatives."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.examples import by_kind

VERSION = 2
KINDS = ("random", "neighbour", "semantic", "surface")
"""All that there were; the columns are ``n_random`` and so on."""


def upgraded(latents: pa.Table, meta: dict[str, Any]) -> pa.Table:
    """Returns a latents table of ``VERSION`` with ``n_negatives``, of the kinds that were asked for by ``meta``."""
    columns = {kind: latents[f"n_{kind}"] for kind in KINDS if kind in meta["negatives"]}
    numbers = {kind: pc.fill_null(column, 0).to_numpy() for kind, column in columns.items()}
    return latents.append_column("n_negatives", by_kind.column(numbers, len(latents)))
