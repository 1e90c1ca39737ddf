"""data/tokens: the token matrix, the documents in it and the vocabulary, as later stages read them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages import paths
from stages.errors import GlossaError, said
from stages.outputs import file_sha256, fingerprint, new_directory, read_meta, read_table, write_meta, write_table
from stages.vector import Vector

if TYPE_CHECKING:
    import zarr

SCHEMA, VERSION = "glossa/tokens", 1
CHUNK_TOKENS = 65_536
CHUNKS_PER_SHARD = 128
TABLES = ("documents.parquet", "vocabulary.parquet")


@dataclass(frozen=True)
class Tokens:
    """The corpus as the subject reads it."""

    directory: Path
    meta: dict[str, Any]

    @classmethod
    def open(cls, directory: Path = paths.TOKENS) -> Tokens:
        """Opens what the tokenize stage wrote; raises GlossaError if it is missing or of another version."""
        return cls(directory, read_meta(directory, SCHEMA, VERSION))

    @property
    def sha256(self) -> str:
        """The identity of the token matrix: sha256 of its shape and its int32 values."""
        return self.meta["tokens_sha256"]

    @property
    def rows(self) -> int:
        """Rows of the matrix."""
        return self.meta["rows"]

    @property
    def context_length(self) -> int:
        """Tokens of a row."""
        return self.meta["context_length"]

    @cached_property
    def array(self) -> zarr.Array:
        """[rows, context_length] int32, read lazily."""
        import zarr

        try:
            array = zarr.open_array(self.directory / "tokens.zarr", mode="r", zarr_format=3)
        except (FileNotFoundError, ValueError) as error:
            raise self._missing(error) from None
        return array

    @cached_property
    def matrix(self) -> NDArray[np.int32]:
        """The whole matrix in memory; raises GlossaError if it is missing or damaged."""
        try:
            return Vector.open(self.directory / "tokens.zarr")[:].reshape(self.rows, self.context_length)
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise self._missing(error) from None

    def _missing(self, error: Exception) -> GlossaError:
        return GlossaError(f"expected a token matrix in {self.directory}, but: {said(error)}; run dvc repro")

    @cached_property
    def documents(self) -> pa.Table:
        """``name``, ``start`` (flat position of the first token), ``n_tokens``; in the order of ``start``."""
        return read_table(self.directory / "documents.parquet")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What every token stands for and how often it occurs."""
        table = read_table(self.directory / "vocabulary.parquet")
        return Vocabulary(
            table["bytes"].to_pylist(), table["count"].to_numpy(), table["special"].to_numpy(zero_copy_only=False)
        )


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of the tokenizer, by id."""

    spellings: list[bytes]
    """The UTF-8 bytes of each; a token may hold a part of a character."""
    counts: NDArray[np.int64]
    """How often each occurs in the corpus."""
    special: NDArray[np.bool_]
    """Whether it is a special token (BOS, EOS, …), which no statistic and no example counts."""

    @cached_property
    def strings(self) -> list[str]:
        """Each token on its own; a piece of a character shows as U+FFFD."""
        return [value.decode("utf-8", errors="replace") for value in self.spellings]

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """[vocabulary] which tokens show something of their own, wherever they stand; the others may be parts of characters."""
        pairs = zip(self.spellings, self.strings, strict=True)
        is_text = (bool(bytes_) and ("\ufffd" not in text or text.encode() == bytes_) for bytes_, text in pairs)
        return np.fromiter(is_text, bool, len(self.spellings)) | self.special

    @cached_property
    def _within(self) -> list[bytes]:
        """What each token shows anywhere but at a text's beginning."""
        pairs = zip(self.spellings, self.special.tolist(), strict=True)
        return [b"\n" if special else spelling for spelling, special in pairs]

    def pieces(self, ids: NDArray[np.int32] | list[int]) -> list[bytes]:
        """What each of consecutive tokens shows: a line break where a document ends, nothing for a leading BOS."""
        tokens = ids.tolist() if isinstance(ids, np.ndarray) else ids
        found = list(map(self._within.__getitem__, tokens))
        if tokens and self.special[tokens[0]]:
            found[0] = b""
        return found

    def text(self, ids: NDArray[np.int32] | list[int]) -> str:
        """The text of consecutive tokens."""
        return b"".join(self.pieces(ids)).decode("utf-8", errors="replace")

    @cached_property
    def _column(self) -> NDArray[np.object_]:
        return _objects(self._within)

    def texts(self, windows: NDArray[np.int32]) -> list[str]:
        """The texts of windows [n, window] of consecutive tokens, each as ``text`` has it."""
        if not windows.size:
            return [""] * len(windows)
        pieces = self._column[windows]
        pieces[self.special[windows[:, 0]], 0] = b""
        return [b"".join(row).decode("utf-8", "replace") for row in pieces.tolist()]

    @cached_property
    def _mapped(self) -> dict[Callable[[str], str], NDArray[np.object_]]:
        return {}

    def mapped(self, function: Callable[[str], str]) -> NDArray[np.object_]:
        """[vocabulary] what ``function`` makes of each token's own text; a line break of a special one. It is worked out once."""
        if function not in self._mapped:
            pairs = zip(self.strings, self.special.tolist(), strict=True)
            self._mapped[function] = _objects(["\n" if special else function(text) for text, special in pairs])
        return self._mapped[function]


def _objects(values: list[Any]) -> NDArray[np.object_]:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def write(
    directory: Path,
    tokens: NDArray[np.int32],
    documents: pa.Table,
    vocabulary: Vocabulary,
    meta: dict[str, Any],
) -> None:
    """Writes data/tokens whole, or leaves nothing."""
    import zarr
    from zarr.codecs import BloscCodec

    rows, length = tokens.shape
    with new_directory(directory) as partial:
        chunk = (max(1, CHUNK_TOKENS // length), length)
        array = zarr.create_array(
            partial / "tokens.zarr",
            shape=tokens.shape,
            dtype="int32",
            chunks=chunk,
            shards=(chunk[0] * max(1, min(CHUNKS_PER_SHARD, -(-rows // chunk[0]))), length),
            compressors=BloscCodec(typesize=4, cname="zstd", clevel=3, shuffle="bitshuffle"),
            zarr_format=3,
        )
        array[:] = tokens
        write_table(partial / "documents.parquet", documents)
        write_table(
            partial / "vocabulary.parquet",
            pa.table(
                {
                    "token": pa.array(range(len(vocabulary.spellings)), pa.int32()),
                    "bytes": pa.array(vocabulary.spellings, pa.binary()),
                    "text": pa.array(vocabulary.strings, pa.string()),
                    "count": pa.array(vocabulary.counts, pa.int64()),
                    "special": pa.array(vocabulary.special, pa.bool_()),
                }
            ),
        )
        content = {"rows": rows, "context_length": length, "tokens_sha256": sha256_of(tokens), **meta}
        write_meta(partial, SCHEMA, VERSION, content)


def sha256_of(tokens: NDArray[np.int32]) -> str:
    """The identity of a token matrix."""
    digest = hashlib.sha256(f"int32 {tokens.shape[0]} {tokens.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(tokens, dtype="<i4").tobytes())
    return digest.hexdigest()


def identity_of(tokens: Tokens) -> str:
    """Returns the hash of all that later stages read: of ``meta.json``, which names the matrix by its own, and of the tables.

    Raises:
        GlossaError: a table is missing.
    """
    try:
        return fingerprint({name: file_sha256(tokens.directory / name) for name in ("meta.json", *TABLES)})
    except FileNotFoundError as error:
        raise GlossaError(f"expected {error.filename}, but there is no such file; run dvc repro") from None
