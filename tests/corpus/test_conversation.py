from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.corpus import files, hub
from stages.corpus.conversation import turns
from stages.corpus.document import Document
from stages.errors import GlossaError

ASKED = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (ASKED, ASKED),
        ([{"role": "system", "content": ""}], [{"role": "system", "content": ""}]),
        (None, []),
        ([], []),
        ([{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], ASKED),
        ([{"role": "user", "content": "a", "name": None, "tool_calls": None}], ASKED[:1]),
        (
            [{"role": "assistant", "content": None, "tool_calls": [{"type": "function"}]}],
            [{"role": "assistant", "content": "", "tool_calls": [{"type": "function"}]}],
        ),
    ],
)
def test_messages_are_read(messages: Any, expected: list[dict[str, Any]]) -> None:
    assert turns({"messages": messages}, "messages", "row 1") == tuple(expected)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ("text", "row 1 should have a conversation in messages, a list of {role, content}, found str"),
        ({"role": "user"}, "row 1 should have a conversation in messages, a list of {role, content}, found dict"),
        (["a"], "row 1 message 1 of messages should be {role, content}, found str"),
        (
            [*ASKED, {"role": "im_end", "content": "a"}],
            "row 1 message 3 of messages should be of system, developer, user, assistant or tool, found 'im_end'",
        ),
        (
            [{"content": "a"}],
            "row 1 message 1 of messages should be of system, developer, user, assistant or tool, found None",
        ),
        (
            [{"from": "bing", "value": "a"}],
            "row 1 message 1 of messages should be of system, human, user, gpt or assistant, found 'bing'",
        ),
        (
            [{"role": "user", "content": 3}],
            "row 1 message 1 of messages should have a string as its content, found int",
        ),
        ([{"role": "user"}], "row 1 message 1 of messages should have a string as its content, found NoneType"),
        ([{"from": "gpt"}], "row 1 message 1 of messages should have a string as its content, found NoneType"),
    ],
)
def test_what_is_no_conversation_is_named_by_its_place(messages: Any, expected: str) -> None:
    with pytest.raises(GlossaError) as caught:
        turns({"messages": messages}, "messages", "row 1")
    assert str(caught.value) == expected


def test_every_source_of_rows_holds_conversations(tmp_path: Path) -> None:
    rows = [{"data": {"messages": ASKED}}, {"data": None}]
    (tmp_path / "set").mkdir()
    (tmp_path / "set/train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet")
    expected = [("", tuple(ASKED)), ("", ())]
    found = {
        "jsonl": files.read("jsonl", tmp_path / "set", "data.messages", True),
        "parquet": files.read("parquet", tmp_path / "set.parquet", "data.messages", True),
        "hub": hub.read(str(tmp_path / "set"), None, "train", "main", "data.messages", True),
    }
    for source, documents in found.items():
        assert [document[1:] for document in documents] == expected, source


def test_a_conversation_as_text_is_a_mistake_that_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": ASKED}))
    with pytest.raises(GlossaError) as caught:
        list(files.read("jsonl", tmp_path, "messages"))
    assert str(caught.value) == (
        f"corpus file {tmp_path}/a.jsonl line 1 should have a string in messages, found list; "
        "a conversation is read with corpus.chat: true"
    )


def test_whether_there_is_anything_to_read() -> None:
    assert Document("d", " \n").is_empty
    assert Document("d", "").is_empty
    assert not Document("d", "a").is_empty
    assert not Document("d", "", tuple(ASKED)).is_empty
