"""The column ``n_negatives`` of the latents table: how many of the test's negatives there are of each kind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

TYPE = pa.map_(pa.string(), pa.int32())


def column(numbers: Mapping[str, NDArray[np.int64]], n_latents: int) -> pa.MapArray:
    """Returns the column of ``{kind: [latents] numbers}``."""
    offsets = pa.array(np.arange(n_latents + 1) * len(numbers), pa.int32())
    values = np.stack(list(numbers.values()), axis=1).ravel() if numbers else np.empty(0, np.int64)
    kinds = pa.array(list(numbers) * n_latents, TYPE.key_type)
    return pa.MapArray.from_arrays(offsets, kinds, pa.array(values, TYPE.item_type))


def numbers(found: pa.ChunkedArray) -> dict[str, NDArray[np.int64]]:
    """Returns ``{kind: [latents] numbers}`` of a column, of all kinds in it, whether they are known here or not."""
    kinds = dict.fromkeys(kind for part in found.chunks for kind in part.keys.unique().to_pylist())
    values = {kind: pc.map_lookup(found, kind, "first") for kind in kinds}
    return {kind: pc.fill_null(n, 0).to_numpy().astype(np.int64) for kind, n in values.items()}
