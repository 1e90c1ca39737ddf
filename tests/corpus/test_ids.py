from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.corpus import ids
from stages.errors import GlossaError

ROWS = [[1, 2, 3], [4, 5, 6]]


def read(path: Path, field: str = "input_ids", size: int = 10) -> list[tuple[str, list[int]]]:
    return [(one.name, np.asarray(one.ids).tolist()) for one in ids.read(path, field, size)]


def refused(path: Path, field: str = "input_ids", size: int = 10) -> str:
    with pytest.raises(GlossaError) as raised:
        read(path, field, size)
    said = str(raised.value)
    assert "\n" not in said
    assert not said.rstrip().endswith((":", ";"))
    return said


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.int64, ">i4"])
def test_a_matrix_is_a_sequence_for_every_row(tmp_path: Path, kind: Any) -> None:
    np.save(tmp_path / "x.npy", np.array(ROWS, kind))
    assert read(tmp_path / "x.npy") == [("x.npy:0", [1, 2, 3]), ("x.npy:1", [4, 5, 6])]


def test_one_long_array_is_one_sequence(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(5))
    assert read(tmp_path) == [("x.npy", [0, 1, 2, 3, 4])]


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int64()), pa.large_list(pa.uint16()), pa.list_(pa.int32(), 3)], ids=["list", "large", "fixed"]
)
def test_columns_hold_a_list_a_row(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"input_ids": pa.array([*ROWS, None], kind), "other": [1, 2, 3]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    with pa.ipc.new_stream(tmp_path / "y.arrow", table.schema) as stream:
        stream.write_table(table)
    assert read(tmp_path / "x.parquet") == [("x.parquet:0", ROWS[0]), ("x.parquet:1", ROWS[1]), ("x.parquet:2", [])]
    assert read(tmp_path / "y.arrow") == [("y.arrow:0", ROWS[0]), ("y.arrow:1", ROWS[1]), ("y.arrow:2", [])]


def test_lines_hold_a_field_or_the_list_and_may_be_compressed(tmp_path: Path) -> None:
    plain = lines(tmp_path / "x.jsonl", {"input_ids": [1, 2]}, [3], {"input_ids": []})
    (tmp_path / "y.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    found = [[1, 2], [3], []]
    assert read(tmp_path) == [
        (f"{name}:{n}", one) for name in ("x.jsonl", "y.jsonl.gz") for n, one in enumerate(found, 1)
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            [1, 10],
            "line 1 should hold ids of tokens from 0 to 9, as many as the subject has, found 10 at place 1; it was tok",
        ),
        ([-1], "from 0 to 9, as many as the subject has, found -1 at place 0"),
        ([10**30], "should hold ids of tokens, found 1000"),
        ([1.0], "a list of whole numbers in input_ids, found 1.0; correct"),
        ([True], "a list of whole numbers in input_ids, found True"),
        ([[1]], "a list of whole numbers in input_ids, found list"),
        ({"input_ids": "1 2"}, "a list of whole numbers in input_ids, found '1 2'"),
        ({"input_ids": None}, "a list of whole numbers in input_ids, found None"),
        ({"input_id": [1]}, "line 1 has no field input_ids; did you mean input_id?"),
        (3, "a list of whole numbers in input_ids, found 3"),
    ],
)
def test_what_is_no_list_of_ids_is_named_with_its_line(tmp_path: Path, row: Any, said: str) -> None:
    assert said in refused(lines(tmp_path / "x.jsonl", row))


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "it is no JSON"), ("[" + "9" * 5000 + "]", "more than 4,300 digits"), ("[" * 100_000, "nested too deeply")],
)
def test_what_is_no_json_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.jsonl").write_text(f"[1]\n{text}\n")
    assert "x.jsonl line 2 should be JSON, but " in (found := refused(tmp_path))
    assert said in found


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3)), "found float64 of shape [2, 3]; save it as whole numbers"),
        (np.zeros((2, 3, 4), int), "found int64 of shape [2, 3, 4]"),
        (np.array(3), "found int64 of shape []"),
        (np.array([True]), "found bool of shape [1]"),
        (np.array([[1], [2, 3]], object), "it can't be read (Array can't be memory-mapped: Python objects"),
    ],
)
def test_arrays_of_something_else_are_named(tmp_path: Path, array: Any, said: str) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    assert said in refused(tmp_path / "x.npy")


def test_ids_of_another_model_are_named_by_their_row(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[1, 2], [3, 50_000]], np.uint16))
    assert (
        "x.npy row 1 should hold ids of tokens from 0 to 9, as many as the subject has, found 50000 at place 1"
        in refused(tmp_path)
    )


@pytest.mark.parametrize("name", ["x.npy", "x.parquet", "x.arrow"])
@pytest.mark.parametrize("content", [b"", b"damage" * 50])
def test_damaged_files_are_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert f"corpus file {tmp_path / name} should be " in refused(tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.array([1, 2]), "a list of whole numbers in every row of input_ids, found int64; name the column"),
        (pa.array([[1.0]]), "in every row of input_ids, found list<"),
        (pa.array([[1, None]]), "row 0 should hold ids of tokens, found null"),
    ],
)
def test_columns_of_something_else_are_named(tmp_path: Path, values: pa.Array, said: str) -> None:
    pq.write_table(pa.table({"input_ids": values}), tmp_path / "x.parquet")
    assert said in refused(tmp_path)
    assert "has no column tokens; known are input_ids" in refused(tmp_path, "tokens")


def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\0")
    assert "should be a file of token ids, which ends in .npy, .parquet, .arrow, .jsonl or .ndjson" in refused(
        tmp_path / "x.bin"
    )
    assert "holds no file that ends in .npy, .parquet" in refused(tmp_path)
    assert "there is none at" in refused(tmp_path / "y")
