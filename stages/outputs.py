"""Writing a stage's output: whole or not at all, and the same bytes for the same content."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.errors import GlossaError, said

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 65_536


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Yields an empty directory that becomes ``path`` when the block ends well and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if path.exists():
        shutil.rmtree(path)
    partial.rename(path)


def write_text(path: Path, text: str) -> None:
    """Writes a file of its own in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_table(path: Path, table: pa.Table) -> None:
    """Writes Parquet with every choice that decides its bytes made here."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd", compression_level=3, version="2.6", row_group_size=ROW_GROUP)


class TableWriter:
    """Writes the file that ``write_table`` would write, of rows that come in parts; no more than a row group is in memory."""

    def __init__(self, path: Path, schema: pa.Schema):
        """Begins the file."""
        import pyarrow.parquet as pq

        self._file = pq.ParquetWriter(path, schema, compression="zstd", compression_level=3, version="2.6")
        self._pending = schema.empty_table()
        self._is_empty = True

    def add(self, rows: pa.Table) -> None:
        """Takes further rows."""
        import pyarrow as pa

        self._pending = pa.concat_tables([self._pending, rows])
        while len(self._pending) >= ROW_GROUP:
            self._write(ROW_GROUP)

    def add_file(self, path: Path) -> None:
        """Takes the rows of another file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROW_GROUP):
                self.add(pa.Table.from_batches([batch]))

    def close(self) -> None:
        """Finishes the file."""
        if len(self._pending) or self._is_empty:
            self._write(len(self._pending))
        self._file.close()

    def _write(self, n: int) -> None:
        self._file.write_table(self._pending.slice(0, n).combine_chunks(), row_group_size=ROW_GROUP)
        self._pending, self._is_empty = self._pending.slice(n), False


def read_table(path: Path) -> pa.Table:
    """Reads a table of an earlier stage.

    Raises:
        GlossaError: the file is missing or no Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # pq.read_table imports pyarrow.dataset and pandas, half a second's work
            return file.read()
    except FileNotFoundError:
        raise GlossaError(f"expected the table {path}, but there is no such file; run dvc repro") from None
    except (pa.ArrowInvalid, OSError) as error:
        why = said(error, whole=True)
        raise GlossaError(f"expected a Parquet table in {path}, but it can't be read ({why}); run dvc repro") from None


def read_rows(path: Path, latent: int | None) -> pa.Table:
    """Reads a table, or the rows of one latent, for which the row groups of others are not read; raises as ``read_table`` does."""
    if latent is None:
        return read_table(path)
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, filters=pc.field("latent") == latent, memory_map=False)
    except (pa.ArrowInvalid, OSError):
        return read_table(path)  # which says in one sentence what is wrong


def write_meta(directory: Path, schema: str, version: int, content: Mapping[str, Any]) -> None:
    """Writes ``meta.json``: what this directory is and what it was made from (no times, no hosts)."""
    meta = {"schema": schema, "version": version, **content}
    (directory / "meta.json").write_text(dumps(meta), encoding="utf-8")


def read_meta(directory: Path, schema: str, version: int, *older: int) -> dict[str, Any]:
    """Reads ``meta.json``, of ``version`` or one of the ``older`` ones that the caller can read as well.

    Raises:
        GlossaError: it is missing, of another schema, or of a version this code does not know.
    """
    try:
        meta = json.loads((directory / "meta.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GlossaError(f"expected {schema} in {directory}, but it has no meta.json; run dvc repro") from None
    except ValueError:
        raise GlossaError(f"expected JSON in {directory / 'meta.json'}, but it is damaged; run dvc repro") from None
    found = (meta.get("schema"), meta.get("version")) if isinstance(meta, dict) else (None, None)
    if found not in [(schema, one) for one in (version, *older)]:
        raise GlossaError(
            f"expected {schema} version {version} in {directory}, found {found[0]} version {found[1]}; "
            "run dvc repro, or install the Glossa that wrote it"
        )
    return meta


def hashes(directory: Path) -> dict[str, str]:
    """Returns {name: sha256} of the files that lie in a directory, for the ``files`` of its ``meta.json``, which is written last."""
    return {file.name: file_sha256(file) for file in sorted(directory.iterdir()) if file.is_file()}


def identity(directory: Path) -> str:
    """Returns the sha256 of ``meta.json``: of all that lies in the directory, where its ``files`` name that.

    Who notes it in a ``meta.json`` of its own changes whenever this directory does, so what follows needs no dependency on both.

    Raises:
        GlossaError: there is no ``meta.json``.
    """
    try:
        return file_sha256(directory / "meta.json")
    except FileNotFoundError:
        raise GlossaError(f"expected meta.json in {directory}, but there is no such file; run dvc repro") from None


def dumps(value: Any) -> str:
    """JSON that diffs well and has one spelling."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def fingerprint(value: Any) -> str:
    """The sha256 of ``value`` as canonical JSON, in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
