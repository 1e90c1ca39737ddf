from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.corpus import tokens
from stages.corpus.tokens import Tokens, Vocabulary, sha256_of
from stages.errors import GlossaError
from tests.folders import tree

WORDS = [b"<end>", b"a", " \u00e9".encode(), b"\xc3", b"\xa9"]


def vocabulary() -> Vocabulary:
    return Vocabulary(WORDS, np.arange(len(WORDS)), np.array([True, False, False, False, False]))


def documents() -> pa.Table:
    return pa.table(
        {"name": ["x", "y"], "start": pa.array([1, 6], pa.int64()), "n_tokens": pa.array([4, 2], pa.int32())}
    )


def write(folder: Path, matrix: np.ndarray) -> Tokens:
    tokens.write(folder, matrix.astype(np.int32), documents(), vocabulary(), {"special_positions": 3})
    return Tokens.open(folder)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    matrix = (np.arange(40).reshape(5, 8) % 5).astype(np.int32)
    found = write(tmp_path / "tokens", matrix)
    assert (found.rows, found.context_length) == (5, 8)
    assert np.array_equal(found.matrix, matrix)
    assert found.matrix.dtype == np.int32
    assert np.array_equal(found.array[2:4], matrix[2:4])
    assert found.documents == documents()
    assert found.vocabulary.spellings == WORDS
    assert found.vocabulary.counts.tolist() == [0, 1, 2, 3, 4]
    assert found.vocabulary.special.tolist() == [True, False, False, False, False]
    assert found.meta["special_positions"] == 3
    assert found.sha256 == sha256_of(matrix)


@settings(max_examples=15)
@given(rows=st.integers(1, 30), length=st.integers(1, 9), chunk=st.integers(1, 20), per_shard=st.integers(1, 3))
def test_any_matrix_survives_its_chunks(
    tmp_path_factory: pytest.TempPathFactory, rows: int, length: int, chunk: int, per_shard: int
) -> None:
    matrix = np.random.default_rng(rows).integers(0, 5, (rows, length))
    with mock.patch.multiple(tokens, CHUNK_TOKENS=chunk, CHUNKS_PER_SHARD=per_shard):
        assert np.array_equal(write(tmp_path_factory.mktemp("tokens"), matrix).matrix, matrix)


def test_the_same_tokens_have_the_same_bytes(tmp_path: Path) -> None:
    matrix = np.arange(40).reshape(5, 8) % 5
    write(tmp_path / "a", matrix)
    write(tmp_path / "b", matrix)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_the_identity_is_of_shape_and_values() -> None:
    matrix = np.arange(12, dtype=np.int32).reshape(3, 4)
    same: Any = np.asfortranarray(matrix.astype(np.int64))
    assert sha256_of(matrix) == sha256_of(same)
    other = [matrix.reshape(4, 3), matrix[::-1], matrix + 1]
    assert len({sha256_of(matrix), *map(sha256_of, other)}) == 4


def test_a_missing_matrix_is_named(tmp_path: Path) -> None:
    with pytest.raises(GlossaError, match=r"expected glossa/tokens in .*, but it has no meta\.json"):
        Tokens.open(tmp_path)
    (tmp_path / "meta.json").write_text(json.dumps({"schema": "glossa/tokens", "version": 1}))
    with pytest.raises(GlossaError, match=r"expected a token matrix in .*; run dvc repro"):
        _ = Tokens.open(tmp_path).matrix


def test_text_breaks_the_line_where_a_document_ends_and_joins_split_characters() -> None:
    words = vocabulary()
    assert words.text([0, 1, 2, 3, 4, 0]) == "a éé\n"
    assert words.pieces([0, 1, 0, 3]) == [b"", b"a", b"\n", b"\xc3"]
    assert words.text(np.array([1, 3], np.int32)) == "a\ufffd"
    assert words.strings == ["<end>", "a", " é", "\ufffd", "\ufffd"]
