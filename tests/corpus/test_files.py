from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.corpus import files
from stages.corpus.document import Document
from stages.errors import GlossaError


def mistake(source: str, path: Path, field: str = "text") -> str:
    with pytest.raises(GlossaError) as caught:
        list(files.read(source, path, field))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_text_files_are_one_document_each_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/2.md", "a.txt", "c.rst", "b/1.txt", "ignored.py"):
        (tmp_path / name).write_text(f"text of {name}", encoding="utf-8")
    found = list(files.read("text", tmp_path, "text"))
    assert found == [Document(name, f"text of {name}") for name in ("a.txt", "b/1.txt", "b/2.md", "c.rst")]


def test_files_of_the_same_name_have_different_documents(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jsonl").write_text('{"text": "t"}\n')
    assert [d.name for d in files.read("jsonl", tmp_path, "text")] == ["a/x.jsonl:1", "b/x.jsonl:1"]


def test_a_single_file_may_end_in_anything(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("naïve 😀", encoding="utf-8")
    assert list(files.read("text", tmp_path / "notes", "text")) == [Document("notes", "naïve 😀")]


def test_json_lines_are_one_document_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "one\\ntwo"}\n\n{"n": 1, "body": "é"}\n', encoding="utf-8")
    found = list(files.read("jsonl", tmp_path, "body"))
    assert found == [Document("a.jsonl:1", "one\ntwo"), Document("a.jsonl:3", "é")]


def test_parquet_files_are_one_document_a_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b", "c"], "n": [1, 2, 3]}), tmp_path / "a.parquet", row_group_size=2)
    found = list(files.read("parquet", tmp_path, "text"))
    assert found == [Document("a.parquet:0", "a"), Document("a.parquet:1", "b"), Document("a.parquet:2", "c")]


@pytest.mark.parametrize(
    ("source", "endings"),
    [("text", ".txt or .md or .rst"), ("jsonl", ".jsonl or .ndjson"), ("parquet", ".parquet")],
)
def test_a_folder_without_such_files_is_a_mistake(tmp_path: Path, source: str, endings: str) -> None:
    (tmp_path / "data.csv").write_text("a,b")
    assert mistake(source, tmp_path) == f"corpus.path {tmp_path} holds no file that ends in {endings}"


def test_a_path_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    assert mistake("text", path) == f"corpus.path should be a file or folder, but there is none at {path}"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b'{"text": "a"}\n{"txt": "b"}\n', "line 2 has no field text; did you mean txt?"),
        (b'{"text": "a"}\n\n{"text": 3}\n', "line 3 should have a string in text, found int"),
        (b'{"text": "a"}\n{"text": \n', "line 2 should be JSON, but it is no JSON; correct it"),
        (b'{"text": "\xff"}\n', "line 1 should be JSON, but it is no JSON; correct it"),
        (b'["text"]\n', "line 1 has no field text; there are none"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(tmp_path: Path, lines: bytes, expected: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines)
    assert mistake("jsonl", path) == f"corpus file {path} {expected}"


def test_text_that_is_not_utf8_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("café".encode("latin-1"))
    assert mistake("text", path) == f"corpus file {path} should be UTF-8 text, but byte 3 is not; convert it"


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("body", ["a"], "has no column text; known are body"),
        ("text", [1, 2], "row 0 should have a string in text, found int"),
    ],
)
def test_a_wrong_column_is_named(tmp_path: Path, column: str, values: list[object], expected: str) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({column: values}), path)
    assert mistake("parquet", path) == f"corpus file {path} {expected}"


@pytest.mark.parametrize("content", [b"", b"PAR1 and not much of it"])
def test_a_file_that_is_no_parquet_is_a_mistake(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    assert mistake("parquet", path) == f"corpus file {path} should be Parquet, but it can't be read as such"


ROWS = b'{"text": "one"}\n{"text": null}\n{"text": "two"}\n'


@pytest.mark.parametrize("suffix", files.COMPRESSED)
def test_compressed_json_lines_are_read_like_others(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    with pa.output_stream(str(path), compression="detect") as stream:
        stream.write(ROWS)
    (tmp_path / f"notes.txt{suffix}").write_bytes(b"not this one")
    for place in (path, tmp_path):
        found = list(files.read("jsonl", place, "text"))
        assert found == [Document(f"a.jsonl{suffix}:{n}", text) for n, text in ((1, "one"), (2, ""), (3, "two"))]
    path.write_bytes(path.read_bytes()[:-9])
    assert "should be compressed as its name says, but can't be read: " in mistake("jsonl", path)


def test_a_nested_field_and_a_null_are_read_in_every_kind_of_file(tmp_path: Path) -> None:
    rows = [{"data": {"text": "one"}}, {"data": None}, {"data": {"text": None}}, {"data": {"text": "two"}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for source in ("parquet", "jsonl"):
        assert [document.text for document in files.read(source, tmp_path, "data.text")] == ["one", "", "", "two"]


def test_json_without_an_end_of_its_brackets_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("[" * 100_000)
    assert mistake("jsonl", tmp_path / "a.jsonl").endswith(
        "line 1 should be JSON, but it is nested too deeply; correct it"
    )
