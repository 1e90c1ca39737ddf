"""transcript.parquet: request and response of every call that a stage used, in the order in which it used them.

It lies next to the stage's results, so whoever has these can read what was asked and answered, read it anew by other
rules, and give the answers back to a journal. It is written as the answers come, and holds what the journal holds and no
time, so a stage that is run again writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.errors import GlossaError, said
from stages.llm.call import Call
from stages.llm.received import text

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "transcript.parquet"
ROWS = 512
"""Calls in a row group: what is held in memory until it is written. Of every group 6 kB stay there until the file is closed."""

BYTES = 2**27
"""Of questions and answers in a row group, and one call more: fewer calls than ``ROWS`` where a server says very much."""


def schema() -> pa.Schema:
    """One row for every call."""
    import pyarrow as pa

    return pa.schema(
        [
            ("key", pa.string()),  # canonical.key of the next three and the request
            ("endpoint", pa.string()),  # its name in params.yaml
            ("path", pa.string()),
            ("sample", pa.int64()),
            ("status", pa.int16()),  # of HTTP
            ("request", pa.string()),  # canonical JSON
            ("response", pa.string()),  # as received
        ],
        metadata={"schema": "glossa/transcript", "version": "1"},
    )


class Recorder:
    """Writes down the calls that are made while it is the current one."""

    def __init__(self, path: Path):
        self._path = path
        self._rows: list[Call] = []
        self._bytes = 0
        self._writer: Any = None
        self.calls = 0

    def record(self, call: Call) -> None:
        """Appends one call."""
        self._rows.append(call)
        self.calls += 1
        self._bytes += len(call.request) + len(call.response)
        if len(self._rows) == ROWS or self._bytes > BYTES:
            self._flush()

    def save(self, directory: Path) -> None:
        """Puts the finished file into ``directory``; does nothing if there was no call."""
        if not self.calls:
            return
        self._flush()
        self._writer.close()
        self._path.replace(directory / NAME)

    def discard(self) -> None:
        """Closes and removes what was not saved."""
        if self._writer is not None:
            self._writer.close()
        self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                self._path,
                schema(),
                compression="zstd",
                compression_level=3,
                version="2.6",
                use_dictionary=["endpoint"],
            )
        if self._rows:
            rows = [(*call[:5], text(call.request), text(call.response)) for call in self._rows]
            columns = zip(schema(), zip(*rows, strict=True), strict=True)
            arrays = [pa.array(values, field.type) for field, values in columns]
            self._writer.write_table(pa.table(arrays, schema=schema()), row_group_size=ROWS)
            self._rows.clear()
            self._bytes = 0


_current: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


def current() -> Recorder | None:
    """Returns the recorder of the stage that is running, if it has one."""
    return _current.get()


@contextmanager
def recording(directory: Path) -> Iterator[Recorder]:
    """Records the calls made in the block, beside ``directory`` until they are saved into it."""
    recorder = Recorder(directory.with_name(f".{directory.name}.{NAME}"))
    before = _current.set(recorder)
    try:
        yield recorder
    finally:
        _current.reset(before)
        recorder.discard()


def read(path: Path) -> Iterator[Call]:
    """Yields the calls of a transcript.

    Raises:
        GlossaError: it is no transcript, or of a version that this code does not know.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(schema(), check_metadata=True):
                raise GlossaError(
                    f"expected a transcript of version 1 in {path}, found other columns; name a {NAME} that Glossa wrote"
                )
            for batch in file.iter_batches(ROWS):
                plain = [pa.binary() if field.type == pa.string() else field.type for field in schema()]
                columns = [column.cast(kind).to_pylist() for column, kind in zip(batch.columns, plain, strict=True)]
                yield from map(_call, *columns)
    except (OSError, pa.ArrowException) as error:
        why = said(error, whole=True)
        raise GlossaError(f"expected a transcript in {path}, but it can't be read ({why}); pull it again") from None


def _call(
    key: bytes | None,
    endpoint: bytes | None,
    path: bytes | None,
    sample: int | None,
    status: int | None,
    request: bytes | None,
    response: bytes | None,
) -> Call:
    """A row as a call; where it is damaged, one whose key does not stand for it."""
    named = (text(key or b""), text(endpoint or b""), text(path or b""))
    return Call(*named, -1 if sample is None else sample, status or 0, request or b"", response or b"")
