"""data/scores/<coder>/<explainer>/<scorer>: scores, measures, and the verdicts that made them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.llm.journal.transcript import Recorder
from stages.outputs import ROW_GROUP, TableWriter, new_directory, read_meta, read_rows, write_meta
from stages.scorers import trusted

SCHEMA, VERSION = "glossa/scores", 4
OLDER = (3,)
"""Versions that are read, too: in 3 the column ``subset`` was called ``of``."""

OWN = "own"
"""The latent's own explanation."""
SHUFFLED = "shuffled"
"""The explanation of another latent of the same coder: the floor."""
ALL = "all"
"""Says of a measure that it is of all examples."""


def verdicts_schema() -> pa.Schema:
    """One row for every example that was judged, ordered by explanation, latent and window."""
    return pa.schema(
        [
            ("explanation", pa.string()),  # own or shuffled
            ("latent", pa.int32()),
            ("window", pa.int64()),  # flat position of its first token
            ("role", pa.string()),  # test or negative
            ("kind", pa.string()),  # how the example was made or found; null for a plain test window
            ("decile", pa.int8()),
            ("active", pa.bool_()),  # the truth
            ("predicted", pa.bool_()),  # the verdict; null when there is none, or the scorer gives a value only
            ("value", pa.float64()),  # probability of active, similarity, or nats; null when there is none
            ("values", pa.list_(pa.float32())),  # predictions for its tokens; null for special ones
            ("reason", pa.string()),  # why there is neither
            ("request", pa.string()),  # key of the request that was answered; null when nothing was asked
            ("text", pa.string()),  # what was written for the scorer; null where the example is a window of the corpus
        ]
    )


def scores_schema() -> pa.Schema:
    """One row for every latent and explanation that was scored."""
    return pa.schema(
        [
            ("explanation", pa.string()),
            ("latent", pa.int32()),
            ("score", pa.float64()),  # in the unit of meta.metric; null when undefined
            ("low", pa.float64()),  # 95 % bootstrap interval
            ("high", pa.float64()),
            ("n", pa.int32()),  # examples with a verdict
            ("unscored", pa.int32()),  # examples without one
            ("reason", pa.string()),  # why score is null
        ]
    )


def measures_schema() -> pa.Schema:
    """One row for every measure of every latent and explanation, ordered by explanation and latent."""
    return pa.schema(
        [
            ("explanation", pa.string()),
            ("latent", pa.int32()),
            ("metric", pa.string()),
            ("subset", pa.string()),  # the examples that it is of: all, decile 1 … decile 10, negatives random …
            ("value", pa.float64()),  # null when undefined
            ("low", pa.float64()),  # 95 % bootstrap interval; of all examples only
            ("high", pa.float64()),
            ("n", pa.int32()),  # examples that it rests on
            ("reason", pa.string()),  # why value is null
        ]
    )


class Writer:
    """Writes the tables of a score stage as rows come, latent by latent, in the order that their schemas name.

    What has another's explanation stands behind all that has its own, so it is put aside until the end.
    """

    def __init__(self, directory: Path):
        """Begins three tables in ``directory``."""
        self._directory, self._aside = directory, directory / "aside"
        self._aside.mkdir()
        schemas = {"verdicts": verdicts_schema(), "scores": scores_schema(), "measures": measures_schema()}
        self._files = {name: TableWriter(directory / f"{name}.parquet", schema) for name, schema in schemas.items()}
        self._others = {name: Aside(self._aside / f"{name}.arrow", schema) for name, schema in schemas.items()}

    def add(self, verdicts: pa.Table, scores: pa.Table, measures: pa.Table) -> None:
        """Takes what was found of further latents."""
        for name, table in (("verdicts", verdicts), ("scores", scores), ("measures", measures)):
            self._files[name].add(of(table, OWN))
            self._others[name].add(of(table, SHUFFLED))

    def close(self, void: str | None = None) -> None:
        """Finishes the tables; ``void`` is why there is no score whatever the verdicts are."""
        for name, other in self._others.items():
            for rows in other.taken():
                self._files[name].add(rows)
            self._files[name].close()
        if void is not None:
            self._void("scores", "score", void)
            self._void("measures", "value", void)
        shutil.rmtree(self._aside)

    def _void(self, name: str, column: str, reason: str) -> None:
        path = self._directory / f"{name}.parquet"
        before = path.rename(self._aside / path.name)
        again = TableWriter(path, pq.read_schema(before))
        for batch in pq.ParquetFile(before).iter_batches(ROW_GROUP):
            again.add(trusted.voided(pa.Table.from_batches([batch]), column, reason))
        again.close()


class Aside:
    """Rows of a table that wait on the disk until what comes before them is written; cheaply, as nobody else reads the file."""

    def __init__(self, path: Path, schema: pa.Schema):
        """Begins the file."""
        self._path = str(path)
        self._file = pa.ipc.new_stream(self._path, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))

    def add(self, rows: pa.Table) -> None:
        """Takes further rows."""
        self._file.write_table(rows)

    def taken(self) -> Iterator[pa.Table]:
        """Yields all rows, in parts; no more are taken."""
        self._file.close()
        with pa.OSFile(self._path) as file, pa.ipc.open_stream(file) as stored:
            for rows in stored:
                yield pa.Table.from_batches([rows])


@contextmanager
def writing(directory: Path, transcript: Recorder | None = None) -> Iterator[tuple[Writer, dict[str, Any]]]:
    """Yields a writer and an empty meta to fill; writes both whole, and the transcript if a model was called, or leaves nothing."""
    meta: dict[str, Any] = {}
    with new_directory(directory) as partial:
        writer = Writer(partial)
        yield writer, meta
        writer.close(trusted.void(meta))
        write_meta(partial, SCHEMA, VERSION, meta)
        if transcript is not None:
            transcript.save(partial)


def meta_of(directory: Path) -> dict[str, Any]:
    """Returns the meta; raises GlossaError as ``read_meta`` does."""
    return read_meta(directory, SCHEMA, VERSION, *OLDER)


def read(directory: Path, latent: int | None = None) -> tuple[pa.Table, dict[str, Any]]:
    """Returns the scores, or those of one latent, and the meta."""
    meta = meta_of(directory)
    return read_rows(directory / "scores.parquet", latent), meta


def read_measures(directory: Path, latent: int | None = None) -> pa.Table:
    """Returns the measures, or those of one latent."""
    meta_of(directory)
    found = read_rows(directory / "measures.parquet", latent)
    return found.rename_columns({"of": "subset"}) if "of" in found.column_names else found


def read_verdicts(directory: Path, latent: int | None = None) -> pa.Table:
    """Returns the verdicts, or those of one latent."""
    meta_of(directory)
    return read_rows(directory / "verdicts.parquet", latent)


def of(rows: pa.Table, control: str) -> pa.Table:
    """Returns the rows with one sort of explanations; where they lie together, as they do in order, without looking at others."""
    wanted = pc.equal(rows["explanation"], control)
    start, n = pc.index(wanted, True).as_py(), pc.sum(wanted).as_py() or 0
    if not n:
        return rows.slice(0, 0)
    together = pc.all(wanted.slice(start, n)).as_py()
    return rows.slice(start, n) if together else rows.filter(wanted)


def by_item(verdicts: pa.Table) -> Iterator[tuple[tuple[str, int], pa.Table]]:
    """Yields ((explanation, latent), its verdicts) of a table in that order."""
    controls = verdicts["explanation"].to_pylist()
    latents = verdicts["latent"].to_pylist()
    start = 0
    for end in range(1, len(latents) + 1):
        if end == len(latents) or (controls[end], latents[end]) != (controls[start], latents[start]):
            yield (controls[start], latents[start]), verdicts.slice(start, end - start)
            start = end
