"""data/scores/<coder>/<explainer>/<scorer>: scores, measures, and the verdicts that made them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.llm.transcript import Recorder
from stages.outputs import new_directory, read_meta, read_table, write_meta, write_table

SCHEMA, VERSION = "glossa/scores", 3

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
            ("of", pa.string()),  # the examples it is of: all, decile 1 … decile 10, negatives random …
            ("value", pa.float64()),  # null when undefined
            ("low", pa.float64()),  # 95 % bootstrap interval; of all examples only
            ("high", pa.float64()),
            ("n", pa.int32()),  # examples that it rests on
            ("reason", pa.string()),  # why value is null
        ]
    )


def write(
    directory: Path,
    verdicts: pa.Table,
    scores: pa.Table,
    measures: pa.Table,
    meta: dict[str, Any],
    transcript: Recorder | None = None,
) -> None:
    """Writes the tables, the meta and, if a model was called, the transcript."""
    with new_directory(directory) as partial:
        write_table(partial / "verdicts.parquet", verdicts)
        write_table(partial / "scores.parquet", scores)
        write_table(partial / "measures.parquet", measures)
        write_meta(partial, SCHEMA, VERSION, meta)
        if transcript is not None:
            transcript.save(partial)


def read(directory: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Returns the scores and the meta."""
    meta = read_meta(directory, SCHEMA, VERSION)
    return read_table(directory / "scores.parquet"), meta


def read_measures(directory: Path) -> pa.Table:
    """Returns the measures."""
    read_meta(directory, SCHEMA, VERSION)
    return read_table(directory / "measures.parquet")


def read_verdicts(directory: Path) -> pa.Table:
    """Returns the verdicts."""
    read_meta(directory, SCHEMA, VERSION)
    return read_table(directory / "verdicts.parquet")


def by_item(verdicts: pa.Table) -> Iterator[tuple[tuple[str, int], pa.Table]]:
    """Yields ((explanation, latent), its verdicts) of a table in that order."""
    controls = verdicts["explanation"].to_pylist()
    latents = verdicts["latent"].to_pylist()
    start = 0
    for end in range(1, len(latents) + 1):
        if end == len(latents) or (controls[end], latents[end]) != (controls[start], latents[start]):
            yield (controls[start], latents[start]), verdicts.slice(start, end - start)
            start = end
