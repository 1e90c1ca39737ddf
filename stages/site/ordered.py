"""A table on disk whose rows stand in the order of latents, read a few latents at a time."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import GlossaError, said

HELD = 2
"""Row groups in memory; with two parts, such as own and shuffled explanations, one of each is read in turn."""


class _Run(NamedTuple):
    """Consecutive rows of a row group that belong to one part; their latents increase."""

    part: str
    group: int
    first: int
    end: int
    lowest: int
    highest: int


class Ordered:
    """Reads the rows of some latents. With ``by``, a column that parts the table, latents start anew in every part."""

    def __init__(self, path: Path, by: str | None = None) -> None:
        """Raises GlossaError if there is no such table, or it is damaged."""
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except FileNotFoundError:
            raise GlossaError(f"expected the table {path}, but there is no such file; run dvc repro") from None
        except (pa.ArrowInvalid, OSError) as error:
            raise self._damaged(error) from None
        self._held: OrderedDict[int, pa.Table] = OrderedDict()
        self._runs: list[_Run] = []
        self.latents: set[int] = set()
        """Those that have rows."""
        for group in range(self._file.metadata.num_row_groups):
            self._look(group, by)

    def of(self, lowest: int, highest: int, part: str = "") -> pa.Table:
        """Returns the rows of latents ``lowest`` to ``highest``, both included."""
        found = []
        for run in self._runs:
            if run.part == part and run.lowest <= highest and run.highest >= lowest:
                rows = self._group(run.group).slice(run.first, run.end - run.first)
                latents = rows["latent"].to_numpy()
                first, end = np.searchsorted(latents, [lowest, highest + 1])
                found.append(rows.slice(first, end - first))
        return pa.concat_tables(found) if found else self._file.schema_arrow.empty_table()

    def _look(self, group: int, by: str | None) -> None:
        """Notes which latents a row group has."""
        table = self._read(group, ["latent", *([by] if by else [])])
        latents = table["latent"].to_numpy()
        if not len(latents):
            return
        self.latents.update(np.unique(latents).tolist())
        if by is None:
            bounds, parts = [0, len(latents)], [""]
        else:
            encoded = table[by].combine_chunks().dictionary_encode()
            codes = encoded.indices.to_numpy()
            bounds = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
            names = encoded.dictionary.to_pylist()
            parts = [names[codes[first]] for first in bounds[:-1]]
        for part, first, end in zip(parts, bounds[:-1], bounds[1:], strict=True):
            self._runs.append(_Run(part, group, first, end, int(latents[first]), int(latents[end - 1])))

    def _group(self, group: int) -> pa.Table:
        if group not in self._held:
            self._held[group] = self._read(group).combine_chunks()
            if len(self._held) > HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(group)
        return self._held[group]

    def _read(self, group: int, columns: list[str] | None = None) -> pa.Table:
        try:
            return self._file.read_row_group(group, columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> GlossaError:
        why = said(error, whole=True)
        return GlossaError(f"expected a Parquet table in {self._path}, but it is damaged ({why}); run dvc repro")
