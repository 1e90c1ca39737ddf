from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.results.reading import Results
from stages.scorers.table import verdicts_schema
from stages.site import verdicts as site_verdicts
from stages.site.calls import Calls
from stages.site.ordered import Ordered
from tests.site.judging import SYSTEM, USAGE, verdicts
from tests.site.reading import load


def rows(shard: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the verdicts table that a shard tells, their requests by their keys."""
    found = []
    for part in ("own", "shuffled"):
        for latent, parts in shard["latents"].items():
            columns = parts.get(part, {"window": []})
            for place in range(len(columns["window"])):
                row = {name: values[place] for name, values in columns.items()}
                for name in ("role", "kind", "reason"):
                    row[name] = None if row.get(name) is None else shard["words"][row[name]]
                if row.get("request") is not None:
                    row["request"] = shard["requests"][row["request"]]["key"]
                found.append({"explanation": part, "latent": int(latent)} | row)
    return found


def test_the_rows_are_those_of_the_verdicts_table(report: Path) -> None:
    found = rows(load(report / "data", "one/verdicts/llm/detection/0"))
    due = verdicts().to_pylist()
    assert len(found) == len(due)
    for told, row in zip(found, due, strict=True):
        assert {name: told.get(name) for name in ("explanation", "latent", "window", "role", "kind", "reason")} == {
            name: row[name] for name in ("explanation", "latent", "window", "role", "kind", "reason")
        }
        for name in ("active", "predicted"):
            assert told[name] == (None if row[name] is None else int(row[name]))
    assert [row.get("value") for row in found] == [0.9877, None, 0.1, None, None]
    assert [row.get("text") for row in found] == [None, None, "written\n⟨U+202E⟩text", None, None]
    assert [row["decile"] for row in found] == [1, 0, 1, 1, 0]


def test_what_was_asked_and_answered_stands_beside_the_verdicts(report: Path) -> None:
    shard = load(report / "data", "one/verdicts/llm/detection/0")
    assert shard["common"] == [{"role": "system", "content": SYSTEM}]
    asked = {row["window"]: row["request"] for row in rows(shard) if row["explanation"] == "own"}
    by_key = {request["key"]: request for request in shard["requests"]}
    assert [message["content"] for message in by_key[asked[4]]["messages"]] == ["latent 2, own"]
    assert by_key[asked[4]]["usage"] == [USAGE["prompt_tokens"], USAGE["completion_tokens"]]
    assert len(by_key) == 3, "the call that no verdict rests on is not there"
    assert rows(shard)[-1]["request"] is None, "a key without a call"


def test_predictions_for_tokens_and_no_transcript(report: Path) -> None:
    shard = load(report / "data", "one/verdicts/llm/embedding/0")
    assert (shard["requests"], shard["common"]) == ([], [])
    own = shard["latents"]["2"]["own"]
    assert own["values"] == [[0.123, None, 3.0, 0.0], None]
    assert "request" not in own
    assert shard["latents"]["7"]["own"]["values"] == [[1.0] * 4]
    assert "values" not in shard["latents"]["2"]["shuffled"], "a column without a value is left out"


def test_windows_hold_what_verdicts_point_to(report: Path) -> None:
    shard = load(report / "data", "one/windows/0")
    assert list(shard["latents"]) == ["2", "7"]
    for latent in ("2", "7"):
        assert sorted(shard["latents"][latent], key=int) == ["4", "16", "28", "36"], "the test's, silent ones too"
    places, values = shard["latents"]["2"]["28"]
    assert ([shard["strings"][place] for place in places], values) == ([" dog"] * 4, [])


def test_verdicts_of_a_few_latents_alone(here: Results, tmp_path: Path) -> None:
    pq.write_table(verdicts(), tmp_path / "verdicts.parquet", row_group_size=2)
    table = Ordered(tmp_path / "verdicts.parquet", "explanation")
    assert [row["latent"] for row in rows(site_verdicts.shard(table, Calls(tmp_path), 3, 9))] == [7]
    assert site_verdicts.shard(table, Calls(tmp_path), 8, 9)["latents"] == {}


@pytest.mark.parametrize("n", [0, 300])
def test_many_rows_come_back_whatever_the_row_groups(n: int, tmp_path: Path) -> None:
    schema = verdicts_schema()
    due = [
        dict.fromkeys(schema.names)
        | {
            "explanation": part,
            "latent": latent,
            "window": 4 * latent + place,
            "role": "test",
            "decile": place,
            "active": True,
            "predicted": place == 1,
        }
        for part in ("own", "shuffled")
        for latent in range(0, n, 3)
        for place in range(latent % 4)
    ]
    pq.write_table(pa.Table.from_pylist(due, schema), tmp_path / "verdicts.parquet", row_group_size=37)
    shard = site_verdicts.shard(Ordered(tmp_path / "verdicts.parquet", "explanation"), Calls(tmp_path), 0, n)
    found = [(row["explanation"], row["latent"], row["window"], row["predicted"]) for row in rows(shard)]
    assert found == [(row["explanation"], row["latent"], row["window"], int(row["predicted"])) for row in due]
