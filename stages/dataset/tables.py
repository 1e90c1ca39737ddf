"""The Parquet files of the data set: a file for every configuration and coder, written a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages import paths, plan
from stages.corpus.tokens import Tokens
from stages.corpus.units import at_first, parts, units
from stages.dataset.columns import CONFIGS
from stages.errors import GlossaError, said
from stages.examples.table import Examples
from stages.explainers import table as explanations_table
from stages.outputs import ROW_GROUP, read_meta
from stages.params import Params
from stages.scorers import table as scores_table
from stages.similarity import table as similarity_table

WINDOWS = 8_192
"""Windows in a row group of examples; with their tokens this is what memory holds."""


def write(folder: Path, p: Params) -> dict[str, dict[str, int]]:
    """Writes ``<configuration>/<coder>.parquet`` and similarity/matches.parquet; returns their rows by configuration and file.

    Raises:
        GlossaError: an output of an earlier stage is missing, damaged or of another version.
    """
    rows: dict[str, dict[str, int]] = {name: {} for name in CONFIGS}
    corpus = _Corpus(Tokens.open())
    for coder in p.coders:
        parts = {
            "explanations": _explanations(p, coder),
            "scores": _scores(p, coder),
            "verdicts": _verdicts(p, coder),
            "examples": _examples(coder, corpus),
        }
        for config, tables in parts.items():
            rows[config][coder] = _save(folder / config / f"{coder}.parquet", config, tables)
    rows["similarity"]["matches"] = _save(folder / "similarity" / "matches.parquet", "similarity", _similarity())
    return rows


def _save(path: Path, config: str, tables: Iterator[dict[str, Any]]) -> int:
    path.parent.mkdir(exist_ok=True)
    schema, rows = CONFIGS[config].schema, 0
    with pq.ParquetWriter(path, schema, version="2.6", compression="zstd", compression_level=3) as file:
        for columns in tables:
            n = len(columns[schema.names[-1]])
            arrays = [
                # Coder, explainer and the like are the same in a whole table.
                pa.repeat(pa.scalar(columns[field.name], field.type), n)
                if isinstance(columns[field.name], str)
                else columns[field.name]
                for field in schema
            ]
            # In one piece, because Parquet's pages end where a piece does.
            file.write_table(pa.table(arrays, schema=schema).combine_chunks(), row_group_size=ROW_GROUP)
            rows += n
    return rows


def _explanations(p: Params, coder: str) -> Iterator[dict[str, Any]]:
    hookpoint = Examples.open(paths.examples(coder)).meta["hookpoint"]
    for explainer in p.explainers:
        folder = paths.explanations(coder, explainer)
        read_meta(folder, explanations_table.SCHEMA, explanations_table.VERSION)
        for columns in _read(folder / "explanations.parquet"):
            yield columns | {"coder": coder, "explainer": explainer, "hookpoint": hookpoint}


def _scores(p: Params, coder: str) -> Iterator[dict[str, Any]]:
    for names in _scored(p, coder):
        folder = paths.scores(names["coder"], names["explainer"], names["scorer"])
        meta = scores_table.meta_of(folder)
        for columns in _read(folder / "scores.parquet"):
            yield columns | names | {"metric": meta["metric"], "control": columns["explanation"]}


def _verdicts(p: Params, coder: str) -> Iterator[dict[str, Any]]:
    for names in _scored(p, coder):
        folder = paths.scores(names["coder"], names["explainer"], names["scorer"])
        scores_table.meta_of(folder)
        for columns in _read(folder / "verdicts.parquet"):
            yield columns | names | {"control": columns["explanation"]}


def _scored(p: Params, coder: str) -> Iterator[dict[str, str]]:
    for name, explainer, scorer in plan.wanted(p):
        if name == coder:
            yield {"coder": name, "explainer": explainer, "scorer": scorer}


def _similarity() -> Iterator[dict[str, Any]]:
    read_meta(paths.SIMILARITY, similarity_table.SCHEMA, similarity_table.VERSION)
    return _read(paths.SIMILARITY / "matches.parquet")


def _examples(coder: str, corpus: _Corpus) -> Iterator[dict[str, Any]]:
    examples = Examples.open(paths.examples(coder))
    if corpus.tokens.sha256 != examples.meta["tokens_sha256"]:
        raise GlossaError(
            f"the windows in {examples.directory} were taken from other tokens than {corpus.tokens.directory}; run dvc repro"
        )
    for columns in _read(examples.directory / "windows.parquet", WINDOWS):
        yield columns | {"coder": coder} | corpus.columns(columns, examples.meta["window"])


class _Corpus:
    """What examples take from data/tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self._flat = tokens.matrix.reshape(-1)
        self._strings = np.array(tokens.vocabulary.strings, object)
        self._is_part = parts(tokens.vocabulary)
        self._documents = tokens.documents["name"].combine_chunks()
        self._starts = tokens.documents["start"].to_numpy()

    def columns(self, columns: dict[str, Any], window: int) -> dict[str, Any]:
        """The columns of examples that follow from the ``start`` and the ``activations`` of windows."""
        starts, found = columns["start"].to_numpy(), columns["activations"]
        places = starts[:, None] + np.arange(window)
        activations = np.zeros(places.shape, np.float32)
        activations[found.is_valid().to_numpy(zero_copy_only=False)] = found.flatten().to_numpy().reshape(-1, window)
        strongest = starts + activations.argmax(axis=1)
        ids = self._flat[places]
        shown = self._strings[ids]
        for place in np.flatnonzero(self._is_part[ids].any(axis=1)).tolist():
            shown[place] = at_first(units(ids[place].tolist(), self.tokens.vocabulary), window)
        ends = pa.array(np.arange(len(starts) + 1) * window, pa.int32())
        row, position = np.divmod(starts, self.tokens.context_length)
        return {
            # The first document begins with the corpus, but perhaps behind a BOS.
            "document": self._documents.take(np.maximum(np.searchsorted(self._starts, strongest, side="right") - 1, 0)),
            "row": pa.array(row, pa.int64()),
            "position": pa.array(position, pa.int32()),
            "text": pa.array(map(self.tokens.vocabulary.text, ids.tolist()), pa.string()),
            "tokens": pa.ListArray.from_arrays(ends, pa.array(shown.reshape(-1), pa.string())),
            "token_ids": pa.ListArray.from_arrays(ends, pa.array(ids.reshape(-1), pa.int32())),
            "activations": pa.ListArray.from_arrays(ends, pa.array(activations.reshape(-1), pa.float32())),
        }


def _read(path: Path, rows: int = ROW_GROUP) -> Iterator[dict[str, Any]]:
    """Yields {column: array} of up to ``rows`` rows each."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(rows):
                yield dict(zip(batch.schema.names, batch.columns, strict=True))
    except FileNotFoundError:
        raise GlossaError(f"expected the table {path}, but there is no such file; run dvc repro") from None
    except (pa.ArrowInvalid, OSError) as error:
        why = said(error, whole=True)
        raise GlossaError(f"expected a Parquet table in {path}, but it is damaged ({why}); run dvc repro") from None
