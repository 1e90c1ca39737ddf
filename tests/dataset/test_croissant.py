from __future__ import annotations

import json
import warnings
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages.dataset.columns import CONFIGS
from stages.outputs import file_sha256


def test_files_are_described_by_hash_and_size(dataset: Path) -> None:
    found = json.loads((dataset / "croissant.json").read_text())["distribution"]
    assert {entry["contentUrl"] for entry in found} == {
        path.relative_to(dataset).as_posix() for path in dataset.rglob("*.parquet")
    }
    for entry in found:
        path = dataset / entry["contentUrl"]
        assert entry["sha256"] == file_sha256(path)
        assert entry["contentSize"] == f"{path.stat().st_size} B"


def test_fields_are_the_columns_of_their_files(dataset: Path) -> None:
    found = json.loads((dataset / "croissant.json").read_text())["recordSet"]
    assert len(found) == 4 * 2 + 1
    for records in found:
        config = records["name"].split("/")[0]
        assert [field["name"] for field in records["field"]] == CONFIGS[config].schema.names
        for field in records["field"]:
            source = field["source"]
            assert source["extract"]["column"] in pq.read_schema(dataset / source["fileObject"]["@id"]).names
    examples = next(records for records in found if records["name"] == "examples/one")
    types = {field["name"]: (field["dataType"], field.get("repeated", False)) for field in examples["field"]}
    assert types["tokens"] == ("sc:Text", True)
    assert types["activations"] == ("sc:Float", True)
    assert types["start"] == ("sc:Integer", False)


def test_the_library_of_the_format_accepts_it_and_reads_the_rows(dataset: Path) -> None:
    croissant = pytest.importorskip("mlcroissant")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own dependencies warn
        found = croissant.Dataset(jsonld=dataset / "croissant.json")
        assert not found.metadata.ctx.issues.errors
        records = list(found.records(record_set="scores/one"))
    expected = pq.read_table(dataset / "scores" / "one.parquet")
    assert len(records) == len(expected)
    assert records[0]["scores/one/metric"].decode() == expected["metric"][0].as_py()
    assert records[0]["scores/one/score"] == expected["score"][0].as_py()
