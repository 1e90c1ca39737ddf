"""Local text, JSON Lines and Parquet files as a corpus."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import given
from stages.corpus.conversation import document
from stages.corpus.document import Document
from stages.errors import GlossaError, nearest, said

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SUFFIXES = {"text": (".txt", ".md", ".rst"), "jsonl": (".jsonl", ".ndjson"), "parquet": (".parquet",)}
COMPRESSED = (".gz", ".bz2", ".zst")
"""What may stand behind the suffix of JSON Lines."""


def read(source: str, path: Path, field: str, is_chat: bool = False) -> Iterator[Document]:
    """Yields the documents of a file, or of all files of its kind below a folder in the order of their names.

    A text file is one document; a JSON Lines or Parquet file holds one a row, in ``field`` (``field.text``), which is a conversation
    if the corpus ``is_chat``.

    Raises:
        GlossaError: nothing is there, or a row has no such field; the message names file and row.
    """
    reader = {"text": _text, "jsonl": _jsonl, "parquet": _parquet}[source]
    for file in _files(source, path):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        yield from reader(file, name, field, is_chat)


def _files(source: str, path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise GlossaError(f"corpus.path should be a file or folder, but there is none at {path}")
    found = sorted(file for file in path.rglob("*") if _kind(file, source) in SUFFIXES[source] and file.is_file())
    if not found:
        raise GlossaError(f"corpus.path {path} holds no file that ends in {' or '.join(SUFFIXES[source])}")
    return found


def _kind(file: Path, source: str) -> str:
    """The suffix, or the one before it where that says how JSON Lines are compressed."""
    return Path(file.stem).suffix if source == "jsonl" and file.suffix in COMPRESSED else file.suffix


def _text(file: Path, name: str, field: str, is_chat: bool) -> Iterator[Document]:
    try:
        yield Document(name, file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise GlossaError(
            f"corpus file {file} should be UTF-8 text, but byte {error.start} is not; convert it"
        ) from None


def _jsonl(file: Path, name: str, field: str, is_chat: bool) -> Iterator[Document]:
    for number, where, row in json_lines(file):
        yield document(f"{name}:{number}", row, field, where, is_chat)


def json_lines(file: Path) -> Iterator[tuple[int, str, Any]]:
    """Yields the number of every line that is not empty, from 1, where that is, for messages, and what JSON it holds.

    Raises:
        GlossaError: it holds none, or the file is not compressed as its name says.
    """
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        where = f"corpus file {file} line {number}"
        try:
            row = given.parsed(line)
        except ValueError as error:
            raise GlossaError(f"{where} should be JSON, but {error}; correct it") from None
        yield number, where, row


def _lines(file: Path) -> Iterator[bytes]:
    if file.suffix not in COMPRESSED:
        with file.open("rb") as found:
            yield from found
        return
    import pyarrow as pa

    try:
        with pa.input_stream(str(file), compression="detect") as stream:
            yield from io.BufferedReader(stream)
    except (pa.ArrowException, OSError) as error:
        why = said(error, whole=True)
        raise GlossaError(
            f"corpus file {file} should be compressed as its name says, but can't be read: {why}"
        ) from None


def _parquet(file: Path, name: str, field: str, is_chat: bool) -> Iterator[Document]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError):
        raise GlossaError(f"corpus file {file} should be Parquet, but it can't be read as such") from None
    names = opened.schema_arrow.names
    column = field if field in names else field.partition(".")[0]
    if column not in names:
        raise GlossaError(f"corpus file {file} has no column {field}; {nearest(field, names)}")
    number = 0
    for batch in _batches(opened, column, file):
        for row in batch.to_pylist():
            yield document(f"{name}:{number}", row, field, f"corpus file {file} row {number}", is_chat)
            number += 1


def _batches(opened: pq.ParquetFile, column: str, file: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    try:
        yield from opened.iter_batches(columns=[column])
    except (pa.ArrowException, OSError) as error:
        raise GlossaError(
            f"corpus file {file} should be Parquet, but it can't be read: {said(error, whole=True)}"
        ) from None
