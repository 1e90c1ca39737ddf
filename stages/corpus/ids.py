"""Files of ready token ids, such as data sets that were tokenized for training: a sequence of ids for every row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.corpus.files import COMPRESSED, json_lines
from stages.errors import GlossaError, nearest, said

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".npy", ".parquet", ".arrow", ".jsonl", ".ndjson")
RESAVE = "save it as whole numbers of one type, [rows, length] or [length]"


class Sequence(NamedTuple):
    """Consecutive tokens, and the name by which a reader can find them again in their source."""

    name: str
    ids: NDArray[np.int64]
    """[length]"""


def read(path: Path, field: str, vocabulary_size: int) -> Iterator[Sequence]:
    """Yields the sequences of a file, or of all files of ids below a folder in the order of their names.

    A NumPy file (``.npy``) holds a matrix [rows, length], a sequence for every row, or one long sequence [length]. Parquet, Arrow as
    ``datasets.save_to_disk`` writes it, and JSON Lines, which may be compressed, hold a list of whole numbers in ``field`` of every row;
    a line of JSON may also be the list.

    Raises:
        GlossaError: nothing is there, or something else than ids from 0 to ``vocabulary_size`` - 1; the message names file and row.
    """
    for file in _files(path):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        reader = {".npy": _npy, ".parquet": _parquet, ".arrow": _arrow}.get(file.suffix, _jsonl)
        for place, ids in reader(file, field):
            where = f"corpus file {file}{f' {place[0]} {place[1]}' if place else ''}"
            yield Sequence(f"{name}:{place[1]}" if place else name, _checked(ids, where, vocabulary_size))


Found = Iterator[tuple[tuple[str, int] | None, NDArray[Any]]]
"""Where in a file, such as ``("row", 3)``, and the ids there."""


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if _kind(path) not in SUFFIXES:
            raise GlossaError(
                f"corpus.path {path} should be a file of token ids, which ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}; save it as one"
            )
        return [path]
    if not path.is_dir():
        raise GlossaError(f"corpus.path should be a file or folder, but there is none at {path}")
    found = sorted(file for file in path.rglob("*") if _kind(file) in SUFFIXES and file.is_file())
    if not found:
        raise GlossaError(f"corpus.path {path} holds no file that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    return found


def _kind(file: Path) -> str:
    return Path(file.stem).suffix if file.suffix in COMPRESSED else file.suffix


def _npy(file: Path, field: str) -> Found:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # noqa: BLE001 - the parser of npy raises whatever it stumbles over
        raise GlossaError(
            f"corpus file {file} should be an array of token ids, but it can't be read ({said(error)}); {RESAVE}"
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu" or array.ndim not in (1, 2):
        found = f"{array.dtype} of shape {list(array.shape)}" if isinstance(array, np.ndarray) else "several arrays"
        raise GlossaError(f"corpus file {file} should be an array of token ids, found {found}; {RESAVE}")
    if array.ndim == 1:
        yield None, array
        return
    for number, row in enumerate(array):
        yield ("row", number), row


def _parquet(file: Path, field: str) -> Found:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(file)
        schema, batches = opened.schema_arrow, opened.iter_batches(columns=[field])
        yield from _of_batches(schema, batches, file, field)
    except (pa.ArrowException, OSError) as error:
        raise GlossaError(
            f"corpus file {file} should be Parquet, but it can't be read: {said(error, whole=True)}"
        ) from None


def _arrow(file: Path, field: str) -> Found:
    import pyarrow as pa

    try:
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as opened:
            yield from _of_batches(opened.schema, opened, file, field)
    except (pa.ArrowException, OSError) as error:
        raise GlossaError(
            f"corpus file {file} should be a stream of Arrow, but it can't be read: {said(error, whole=True)}"
        ) from None


def _of_batches(schema: pa.Schema, batches: Any, file: Path, field: str) -> Found:
    import pyarrow as pa

    if field not in schema.names:
        raise GlossaError(f"corpus file {file} has no column {field}; {nearest(field, schema.names)}")
    kind = schema.field(field).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_integer(kind.value_type):
        raise GlossaError(
            f"corpus file {file} should have a list of whole numbers in every row of {field}, found {kind}; name the column of token ids by "
            "corpus.field"
        )
    number = 0
    for batch in batches:
        for one in batch.column(batch.schema.get_field_index(field)):
            ids = one.values
            if ids is not None and ids.null_count:
                raise GlossaError(f"corpus file {file} row {number} should hold ids of tokens, found null; correct it")
            yield ("row", number), np.empty(0, np.int64) if ids is None else ids.to_numpy(zero_copy_only=False)
            number += 1


def _jsonl(file: Path, field: str) -> Found:
    for number, where, row in json_lines(file):
        if isinstance(row, dict) and field not in row:
            raise GlossaError(f"{where} has no field {field}; {nearest(field, row)}")
        ids = row[field] if isinstance(row, dict) else row
        if not isinstance(ids, list) or not all(type(one) is int for one in ids):
            wrong = next((one for one in ids if type(one) is not int), None) if isinstance(ids, list) else ids
            raise GlossaError(
                f"{where} should hold a list of whole numbers in {field}, found {_shown(wrong)}; correct it"
            )
        if too_large := [one for one in ids if abs(one) >= 2**62]:
            raise GlossaError(f"{where} should hold ids of tokens, found {_shown(too_large[0])}; correct it")
        yield ("line", number), np.array(ids, np.int64)


def _checked(ids: NDArray[Any], where: str, vocabulary_size: int) -> NDArray[np.int64]:
    wrong = np.flatnonzero((ids < 0) | (ids >= vocabulary_size))
    if len(wrong):
        raise GlossaError(
            f"{where} should hold ids of tokens from 0 to {vocabulary_size - 1}, as many as the subject has, found {ids[wrong[0]]} at place "
            f"{wrong[0]}; it was tokenized for another model, or is damaged"
        )
    return ids


def _shown(value: Any) -> str:
    return type(value).__name__ if isinstance(value, list | dict) else repr(value)[:60]
