"""data/examples/<coder>: the sampled latents and their windows, as written and as later stages read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages import paths
from stages.corpus.tokens import Tokens, identity_of
from stages.errors import GlossaError, said
from stages.examples import by_kind, older
from stages.outputs import ROW_GROUP, read_meta, read_table

SCHEMA, VERSION = "glossa/examples", 3
ROLES = ("train", "validation", "test")
PARTS = tuple(product(ROLES, (False, True)))
"""Of the windows of a latent, by role and by whether they are negatives."""


PLACES = (
    (
        "place_tokens",
        pa.list_(pa.list_(pa.int32())),
    ),  # output tokens that it promotes most at each place that it writes to
    ("place_values", pa.list_(pa.list_(pa.float32()))),
    ("place_norms", pa.list_(pa.float32())),  # of what it writes there per unit of activation
)
"""Columns of coders whose latents write to several places, which ``writes`` of meta.json names."""


def latents_schema(places: bool = False) -> pa.Schema:
    """One row for every latent that was chosen, kept or dropped; ``places`` if latents write to several."""
    return pa.schema(
        [
            ("latent", pa.int32()),
            ("dropped", pa.string()),  # why it is not explained; null when it is
            ("count", pa.int64()),  # tokens on which it fires
            ("density", pa.float64()),  # share of the ordinary tokens on which it fires
            ("max", pa.float32()),
            ("mean", pa.float64()),  # over the tokens on which it fires
            ("histogram", pa.list_(pa.int64())),  # equal bars from the smaller of 0 and its minimum to the maximum
            ("n_windows", pa.int64()),  # blocks of the window's length in which it is above 0
            ("n_train", pa.int32()),
            ("n_validation", pa.int32()),
            ("n_test", pa.int32()),
            ("n_negatives", by_kind.TYPE),  # of the test, of every kind that was asked for
            ("top_tokens", pa.list_(pa.int32())),  # output tokens it promotes most
            ("top_values", pa.list_(pa.float32())),  # … by how much, in logits per unit of activation
            ("bottom_tokens", pa.list_(pa.int32())),
            ("bottom_values", pa.list_(pa.float32())),
            *(PLACES if places else ()),
        ]
    )


def windows_schema() -> pa.Schema:
    """One row for every sampled window, ordered by latent, role, kind (null first) and decile.

    The windows of a latent share no token, those of several kinds of negatives among each other included.
    """
    return pa.schema(
        [
            ("latent", pa.int32()),
            ("role", pa.string()),  # train, validation or test
            ("kind", pa.string()),  # how a window in which it is silent was found; null where it fires
            ("decile", pa.int8()),  # 1 strongest … 10; 0 where it is silent
            ("start", pa.int64()),  # flat position of the first token; unique for a latent
            ("max", pa.float32()),
            ("activations", pa.list_(pa.float32())),  # one for every token; null where it is silent on all
        ]
    )


@dataclass(frozen=True)
class Windows:
    """Windows of one latent and one purpose."""

    starts: NDArray[np.int64]
    """[n] flat position of the first token of each."""
    deciles: NDArray[np.int8]
    tokens: NDArray[np.int32]
    """[n, window]."""
    activations: NDArray[np.float32]
    """[n, window]; all 0 for negatives."""
    kinds: list[str | None]

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def none(cls) -> Windows:
        """No window at all."""
        dense = np.empty((0, 0))
        return cls(np.empty(0, np.int64), np.empty(0, np.int8), dense.astype(np.int32), dense.astype(np.float32), [])


@dataclass(frozen=True)
class LatentExamples:
    """One latent with its facts and its windows; where it fires, and where it does not."""

    latent: int
    facts: dict[str, Any]
    """The latent's row of the latents table."""
    train: Windows
    test: Windows
    negative: Windows
    """Held out for the scorers, like ``test``."""
    validation: Windows = field(default_factory=Windows.none)
    validation_negative: Windows = field(default_factory=Windows.none)
    train_negative: Windows = field(default_factory=Windows.none)
    rate: float | None = None
    """The share of the corpus's windows in which it fires, if that is known."""


@dataclass(frozen=True)
class Examples:
    """The sample of one coder."""

    directory: Path
    meta: dict[str, Any]

    @classmethod
    def open(cls, directory: Path) -> Examples:
        """Opens what the sample stage wrote; raises GlossaError if it is missing or of another version."""
        return cls(directory, read_meta(directory, SCHEMA, VERSION, older.VERSION))

    @cached_property
    def latents(self) -> pa.Table:
        """Every latent that was chosen, kept or dropped (``latents_schema``)."""
        found = read_table(self.directory / "latents.parquet")
        if self.meta["version"] == older.VERSION:
            found = older.upgraded(found, self.meta).select(latents_schema().names)
        return found

    @property
    def windows(self) -> pa.Table:
        """Every sampled window (``windows_schema``)."""
        return read_table(self.directory / "windows.parquet")

    def __iter__(self) -> Iterator[LatentExamples]:
        """Yields the latents that were kept, in increasing order."""
        return self.of(self.kept)

    @property
    def kept(self) -> list[int]:
        """The latents that were not dropped, in increasing order."""
        return self._kept["latent"].to_pylist()

    def of(self, latents: Sequence[int]) -> Iterator[LatentExamples]:
        """Yields those of ``latents`` that were kept, in increasing order, and reads no more of the windows than it has to."""
        kept = self._kept.filter(pc.is_in(self._kept["latent"], pa.array(latents, pa.int32())))
        wanted = kept["latent"].to_numpy()
        for group, (lowest, highest) in enumerate(self._groups):
            first, last = np.searchsorted(wanted, lowest), np.searchsorted(wanted, highest, side="right")
            if first < last:
                windows = _Group(self._file.read_row_group(group), self.meta["window"])
                for facts in kept.slice(first, last - first).to_pylist(maps_as_pydicts="strict"):
                    yield self._examples(facts, windows)

    @cached_property
    def _kept(self) -> pa.Table:
        return self.latents.filter(self.latents["dropped"].is_null())

    @cached_property
    def _file(self) -> pq.ParquetFile:
        path = self.directory / "windows.parquet"
        try:
            return pq.ParquetFile(path)
        except FileNotFoundError:
            raise GlossaError(f"expected the table {path}, but there is no such file; run dvc repro") from None
        except (pa.ArrowInvalid, OSError) as error:
            why = said(error, whole=True)
            raise GlossaError(f"expected a Parquet table in {path}, but it is damaged ({why}); run dvc repro") from None

    @cached_property
    def _groups(self) -> list[tuple[int, int]]:
        """The lowest and the highest latent of every row group; a latent is in one."""
        groups = [self._file.metadata.row_group(i) for i in range(self._file.metadata.num_row_groups)]
        statistics = [group.column(0).statistics for group in groups if group.num_rows]
        return [(found.min, found.max) for found in statistics]

    @cached_property
    def _tokens(self) -> NDArray[np.int32]:
        tokens = Tokens.open()
        named = self.meta.get("made_from", {}).get(paths.TOKENS.as_posix())
        if tokens.sha256 != self.meta["tokens_sha256"] or named not in (None, identity_of(tokens)):
            raise GlossaError(
                f"the windows in {self.directory} were taken from other tokens than {tokens.directory}; run dvc repro"
            )
        return tokens.matrix.reshape(-1)

    def _examples(self, facts: dict[str, Any], group: _Group) -> LatentExamples:
        part = group.parts(facts["latent"], self._tokens)
        return LatentExamples(
            facts["latent"],
            facts,
            part["train", False],
            part["test", False],
            part["test", True],
            part["validation", False],
            part["validation", True],
            part["train", True],
            facts["n_windows"] / self.meta["windows"],
        )


class _Group:
    """The rows of some latents, a column an array, so that a latent's windows are taken without a query."""

    def __init__(self, windows: pa.Table, length: int):
        """Takes the rows of windows.parquet, in their order; windows have ``length`` tokens."""
        windows = windows.combine_chunks()
        self._within = np.arange(length)
        self._owners = windows["latent"].to_numpy()
        roles = windows["role"].combine_chunks().dictionary_encode()
        places = np.array(
            [ROLES.index(role) if role in ROLES else len(ROLES) for role in roles.dictionary.to_pylist()], np.int64
        )
        self._parts = 2 * places[roles.indices.to_numpy()] + windows["kind"].is_valid().to_numpy()
        """Of every row which of the parts of ``PARTS`` it is of; more if of none."""
        self._kinds = windows["kind"].to_numpy(zero_copy_only=False)
        self._starts = windows["start"].to_numpy()
        self._deciles = windows["decile"].to_numpy()
        activations = windows["activations"].combine_chunks()
        self._active = activations.is_valid().to_numpy(zero_copy_only=False)
        self._place = np.cumsum(self._active) - 1
        """Of every row its row in ``_activations``, if it is active."""
        self._activations = activations.flatten().to_numpy().reshape(-1, length)

    def parts(self, latent: int, tokens: NDArray[np.int32]) -> dict[tuple[str, bool], Windows]:
        """Returns the latent's windows by role, and by whether they are negatives; ``tokens`` are those of the corpus."""
        begin, end = np.searchsorted(self._owners, [latent, latent + 1])
        parts = self._parts[begin:end]
        # Rows lie in this order anyway, so this is one copy of each column.
        order = np.argsort(parts, kind="stable")
        rows, bounds = begin + order, np.searchsorted(parts[order], range(len(PARTS) + 1)).tolist()
        starts, deciles, kinds = self._starts[rows], self._deciles[rows], self._kinds[rows]
        activations = np.zeros((len(rows), len(self._within)), np.float32)
        active = self._active[rows]
        activations[active] = self._activations[self._place[rows[active]]]
        shown = tokens[starts[:, None] + self._within]
        return {
            part: Windows(
                starts[first:last],
                deciles[first:last],
                shown[first:last],
                activations[first:last],
                kinds[first:last].tolist(),
            )
            for part, (first, last) in zip(PARTS, pairwise(bounds), strict=True)
        }


class WindowsWriter:
    """Writes windows.parquet as windows come, in groups of whole latents, whatever the parts they come in."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetWriter(
            path,
            windows_schema(),
            version="2.6",
            compression="zstd",
            compression_level=1,
            use_dictionary=["latent", "role", "kind", "decile"],
            write_statistics=["latent"],
        )
        self._pending = windows_schema().empty_table()
        self.rows = 0
        """How many were added."""

    def __enter__(self) -> WindowsWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if len(self._pending):
            self._write(len(self._pending))
        self._file.close()

    def add(self, windows: pa.Table) -> None:
        """Takes the windows of further, whole latents; what has ``outputs.ROW_GROUP`` rows or more is written."""
        self.rows += len(windows)
        self._pending = pa.concat_tables([self._pending, windows])
        owners = self._pending["latent"].to_numpy()
        ends = np.append(np.flatnonzero(np.diff(owners)) + 1, len(owners))
        done = 0
        while (place := np.searchsorted(ends, done + ROW_GROUP)) < len(ends):
            self._write(ends[place] - done)
            done = ends[place]

    def _write(self, n: int) -> None:
        # In one piece, because Parquet's pages end where a piece does.
        self._file.write_table(self._pending.slice(0, n).combine_chunks(), row_group_size=n)
        self._pending = self._pending.slice(n)
