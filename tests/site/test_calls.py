from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.errors import GlossaError
from stages.llm.journal.transcript import recording
from stages.site.calls import Calls, exchange, shared, usage
from stages.site.cost import Cost, cost
from tests.site.judging import CALLS, KEYS, SYSTEM, USAGE, answer, call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "stage"
    with recording(found) as recorder:
        for one in CALLS:
            recorder.record(one)
        found.mkdir()
        recorder.save(found)
    return found


def row(response: str, **request: Any) -> dict[str, Any]:
    asked = json.dumps(request or {"messages": []})
    return {"key": "k", "endpoint": "lab", "sample": 0, "request": asked, "response": response}


def test_calls_are_found_by_their_keys_in_the_order_in_which_they_were_made(folder: Path) -> None:
    calls = Calls(folder)
    assert calls.any
    found, common = calls.find([KEYS[2], "no such key", KEYS[0], KEYS[2]])
    assert [one["key"] for one in found] == [KEYS[0], KEYS[2]]
    assert common == [{"role": "system", "content": SYSTEM}]
    assert found[0]["messages"] == [{"role": "user", "content": "latent 2, own"}]
    assert found[0]["answer"].startswith("</script><img src=x onerror=alert(1)>")
    assert "⟨U+202E⟩over⟨U+202C⟩ ⟨U+001B⟩[31mred⟨U+2028⟩" in found[0]["answer"]
    assert (found[0]["model"], found[0]["endpoint"], found[0]["usage"]) == ("answered", "lab", (100, 7))
    assert found[1]["answer"] == "half ⟨U+D800⟩ pair __proto__"


def test_an_answer_that_is_none_is_shown_as_it_came(folder: Path) -> None:
    (found,), common = Calls(folder).find([KEYS[1]])
    assert common[0]["content"] == SYSTEM
    assert found["answer"] == "<html>down</html>"
    assert (found["model"], found["usage"]) == ("asked", None)
    assert found["messages"][0]["content"] == "latent 2, shuffled\nline ⟨U+2028⟩ two", "line breaks stay"


@pytest.mark.parametrize(
    "response",
    ["", "null", "[]", "{", '{"choices": []}', '{"choices": [{"message": null}]}', '{"choices": {}}', "[" * 100_000],
)
def test_whatever_a_server_answers_is_shown(response: str) -> None:
    assert exchange(row(response))["answer"] == response


def test_what_was_asked_may_be_anything_too() -> None:
    found = exchange(
        {**row("x"), "request": json.dumps({"messages": ["x", {"role": 1, "content": [{"a": "\ud800"}]}]})}
    )
    assert shared([found]) == []
    assert found["messages"] == [{"role": "1", "content": '[{"a": "⟨U+D800⟩"}]'}]
    assert exchange({**row("x"), "sample": 3})["sample"] == 3
    assert "sample" not in exchange(row("x"))


def test_tokens_are_counted_only_if_the_server_counted_them() -> None:
    assert usage({"usage": USAGE}) == (100, 7)
    for wrong in (
        None,
        [],
        {},
        {"prompt_tokens": 1},
        {"prompt_tokens": "1", "completion_tokens": 2},
        {"prompt_tokens": -1, "completion_tokens": 2},
    ):
        assert usage({"usage": wrong}) is None


def test_common_beginnings_are_told_once() -> None:
    def request(*contents: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": content} for content in contents]}

    several = [request("a", "b", "c"), request("a", "b", "d"), request("a", "x", "b", "c")]
    assert shared(several) == [{"role": "user", "content": "a"}]
    assert [[one["content"] for one in each["messages"]] for each in several] == [
        ["b", "c"],
        ["b", "d"],
        ["x", "b", "c"],
    ]
    alike = [request("a", "b"), request("a", "b")]
    assert len(shared(alike)) == 1, "the last message of a request stays its own"
    assert shared([]) == []
    assert shared([{"messages": []}]) == []


def test_without_a_transcript_nothing_was_asked(tmp_path: Path) -> None:
    calls = Calls(tmp_path)
    assert not calls.any
    assert calls.find(["k"]) == ([], [])
    assert cost(tmp_path) == Cost()


def test_costs_by_hand(folder: Path) -> None:
    assert cost(folder) == Cost(calls=4, prompt=100, answer=7, uncounted=3)
    assert cost(folder) + Cost(1, 1, 1, 1) == Cost(5, 101, 8, 4)


def test_calls_that_a_model_in_this_process_answered_are_told_apart(folder: Path) -> None:
    path = folder / "transcript.parquet"
    table = pq.read_table(path)
    endpoints = ["transformers:abc", *table["endpoint"].to_pylist()[1:]]
    pq.write_table(table.set_column(table.column_names.index("endpoint"), "endpoint", pa.array(endpoints)), path)
    found = cost(folder)
    assert (found.calls, found.here, found.in_this_process) == (4, 1, "1 call")


def test_texts_whose_probability_a_model_told_are_counted(tmp_path: Path) -> None:
    values = pa.table({"latent": [1, 1, 2], "value": pa.array([0.5, None, -1.0])})
    pq.write_table(values, tmp_path / "verdicts.parquet")
    (tmp_path / "meta.json").write_text('{"model": "transformers:abc"}')
    assert cost(tmp_path) == Cost(read=2)
    assert cost(tmp_path).in_this_process == "2 texts"
    (tmp_path / "meta.json").write_text('{"embedder": {"name": "m"}}')
    assert cost(tmp_path) == Cost(), "an embedder is no language model"
    (tmp_path / "meta.json").write_text('{"model": "transformers:abc"}')
    (tmp_path / "verdicts.parquet").write_bytes(b"PAR1")
    with pytest.raises(GlossaError, match=r"expected a table in .*verdicts\.parquet, but it can't be read"):
        cost(tmp_path)


def test_a_damaged_transcript_is_one_sentence(folder: Path) -> None:
    path = folder / "transcript.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    for read in (Calls, cost):
        with pytest.raises(GlossaError, match=r"expected a transcript in .* run dvc repro"):
            read(folder)


def test_the_same_question_asked_twice_is_found_once(tmp_path: Path) -> None:
    with recording(tmp_path / "stage") as recorder:
        for response in ("first", "second"):
            recorder.record(call("again", answer(response)))
        recorder.save(tmp_path)
    (found,), _ = Calls(tmp_path).find([call("again", "").key])
    assert found["answer"] == "first"
