from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import outputs
from stages.errors import GlossaError
from tests.folders import tree


def test_a_directory_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out"
    with outputs.new_directory(path) as partial:
        (partial / "old").write_text("old")
        assert not path.exists()
    with outputs.new_directory(path) as partial:
        (partial / "new").write_text("new")
        assert tree(path) == {"old": b"old"}
    assert tree(tmp_path) == {"deep/out/new": b"new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "out"
    with outputs.new_directory(path) as partial:
        (partial / "old").write_text("old")

    def fail() -> None:
        with outputs.new_directory(path) as partial:
            (partial / "half").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert tree(tmp_path) == {"out/old": b"old"}


def test_the_leftovers_of_a_kill_are_removed(tmp_path: Path) -> None:
    leftover = tmp_path / ".out.partial"
    leftover.mkdir()
    (leftover / "half").write_text("half")
    with outputs.new_directory(tmp_path / "out") as partial:
        assert tree(partial) == {}
        (partial / "new").write_text("new")
    assert tree(tmp_path) == {"out/new": b"new"}


def test_text_is_written_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    outputs.write_text(path, "one\n")
    outputs.write_text(path, "zwölf\n")
    assert tree(tmp_path) == {"a/b.txt": "zwölf\n".encode()}


def test_a_table_has_the_same_bytes_when_written_twice(tmp_path: Path) -> None:
    rows = 3 * outputs.ROW_GROUP // 2  # two row groups
    table = pa.table({"n": pa.array(range(rows), pa.int32()), "s": pa.array([str(n % 7) for n in range(rows)])})
    outputs.write_table(tmp_path / "a.parquet", table)
    outputs.write_table(tmp_path / "b.parquet", pa.concat_tables([table.slice(0, 1000), table.slice(1000)]))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert outputs.read_table(tmp_path / "a.parquet") == table
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 2


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(GlossaError, match=r"expected the table .*t\.parquet, but there is no such file; run dvc repro"):
        outputs.read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("damage", ["empty", "cut", "header", "footer"])
def test_a_damaged_table_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "t.parquet"
    outputs.write_table(path, pa.table({"n": list(range(1000))}))
    raw = bytearray(path.read_bytes())
    match damage:
        case "empty":
            raw = bytearray()
        case "cut":
            raw = raw[:100]
        case "header":
            raw[4] ^= 0xFF
        case "footer":
            raw[-60:-8] = b"\xff" * 52
    path.write_bytes(raw)
    with pytest.raises(GlossaError, match=r"expected a Parquet table in .*t\.parquet, but it can't be read") as caught:
        outputs.read_table(path)
    assert "\n" not in str(caught.value)


def test_meta_comes_back_as_it_was_written(tmp_path: Path) -> None:
    outputs.write_meta(tmp_path, "glossa/x", 3, {"z": 1, "a": {"y": [1, 2], "b": "é"}})
    assert outputs.read_meta(tmp_path, "glossa/x", 3) == {
        "schema": "glossa/x", "version": 3, "z": 1, "a": {"y": [1, 2], "b": "é"},
    }  # fmt: skip
    keys = list(json.loads((tmp_path / "meta.json").read_text(encoding="utf-8")))
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "it has no meta.json; run dvc repro"),
        ("{", "it is damaged; run dvc repro"),
        ("[1]", "found None version None"),
        ('{"schema": "glossa/y", "version": 3}', "found glossa/y version 3; run dvc repro, or install the Glossa"),
        ('{"schema": "glossa/x", "version": 4}', "expected glossa/x version 3 in"),
        ('{"schema": "glossa/x"}', "found glossa/x version None"),
    ],
)
def test_meta_of_another_kind_is_refused(tmp_path: Path, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / "meta.json").write_text(text)
    with pytest.raises(GlossaError) as caught:
        outputs.read_meta(tmp_path, "glossa/x", 3)
    assert expected in str(caught.value)
    assert str(tmp_path) in str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_json_has_one_spelling(value: dict[str, Any]) -> None:
    reordered = dict(reversed(value.items()))
    assert outputs.dumps(value) == outputs.dumps(reordered)
    assert outputs.fingerprint(value) == outputs.fingerprint(reordered)
    assert json.loads(outputs.dumps(value)) == value


def test_fingerprint_is_the_sha256_of_canonical_json() -> None:
    # printf '{"a":"é","b":1}' | sha256sum
    expected = "aa58fba8483623bed37c1b02edfccbdd9a53123837c20bfa4cb4049993a2872e"
    assert outputs.fingerprint({"b": 1, "a": "é"}) == expected
    assert outputs.fingerprint({"b": 1.0, "a": "é"}) != expected


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        outputs.dumps({"a": float("nan")})


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    assert outputs.file_sha256(tmp_path / "f") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("n", [0, 1, 4, 5, 9, 10])
def test_rows_that_come_in_parts_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr(outputs, "ROW_GROUP", 5)
    table = pa.table(
        {"n": pa.array(range(n), pa.int32()), "text": pa.array([f"{i % 3}" for i in range(n)], pa.string())}
    )
    outputs.write_table(tmp_path / "whole.parquet", table)
    outputs.write_table(tmp_path / "behind.parquet", table.slice(n // 2))
    writer = outputs.TableWriter(tmp_path / "parts.parquet", table.schema)
    for begin in range(0, n // 2, 2):
        writer.add(table.slice(begin, min(2, n // 2 - begin)))
    writer.add_file(tmp_path / "behind.parquet")
    writer.close()
    assert (tmp_path / "parts.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
