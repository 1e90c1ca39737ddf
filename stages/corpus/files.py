"""Local text, JSON Lines and Parquet files as a corpus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from stages.corpus.document import Document
from stages.errors import GlossaError, nearest

SUFFIXES = {"text": (".txt", ".md", ".rst"), "jsonl": (".jsonl", ".ndjson"), "parquet": (".parquet",)}


def read(source: str, path: Path, field: str) -> Iterator[Document]:
    """Yields the documents of a file, or of all files of its kind below a folder in the order of their names.

    A text file is one document; a JSON Lines or Parquet file holds one a row, in the string field ``field``.

    Raises:
        GlossaError: nothing is there, or a row has no such field; the message names file and row.
    """
    reader = {"text": _text, "jsonl": _jsonl, "parquet": _parquet}[source]
    for file in _files(source, path):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        yield from reader(file, name, field)


def _files(source: str, path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise GlossaError(f"corpus.path should be a file or folder, but there is none at {path}")
    found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES[source] and file.is_file())
    if not found:
        raise GlossaError(f"corpus.path {path} holds no file that ends in {' or '.join(SUFFIXES[source])}")
    return found


def _text(file: Path, name: str, field: str) -> Iterator[Document]:
    try:
        yield Document(name, file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise GlossaError(
            f"corpus file {file} should be UTF-8 text, but byte {error.start} is not; convert it"
        ) from None


def _jsonl(file: Path, name: str, field: str) -> Iterator[Document]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                raise GlossaError(
                    f"corpus file {file} should hold JSON on every line, but line {number} is none"
                ) from None
            if not isinstance(row, dict) or field not in row:
                known = row if isinstance(row, dict) else ()
                raise GlossaError(f"corpus file {file} line {number} has no field {field}; {nearest(field, known)}")
            if not isinstance(row[field], str):
                found = type(row[field]).__name__
                raise GlossaError(f"corpus file {file} line {number} should have a string in {field}, found {found}")
            yield Document(f"{name}:{number}", row[field])


def _parquet(file: Path, name: str, field: str) -> Iterator[Document]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError):
        raise GlossaError(f"corpus file {file} should be Parquet, but it can't be read as such") from None
    if field not in opened.schema_arrow.names:
        raise GlossaError(f"corpus file {file} has no column {field}; {nearest(field, opened.schema_arrow.names)}")
    number = 0
    for batch in opened.iter_batches(columns=[field]):
        for text in batch.column(0).to_pylist():
            if not isinstance(text, str):
                raise GlossaError(f"corpus file {file} row {number} should have a string in {field}, found {text!r}")
            yield Document(f"{name}:{number}", text)
            number += 1
