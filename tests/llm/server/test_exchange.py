from __future__ import annotations

import json
from typing import Any

import pytest

from stages.llm.call import Call
from stages.llm.forms import labels
from stages.llm.request import Message, Request
from stages.llm.server import faults
from stages.llm.server.exchange import Asked, exchange, messages
from tests.llm.asking import judge, question


def reply(content: str | None, finish: str = "stop", **message: Any) -> bytes:
    choice = {"message": {"content": content, **message}, "finish_reason": finish}
    return json.dumps({"model": "m", "choices": [choice]}).encode()


def converse(request: Request, *replies: bytes, **options: Any) -> tuple[Asked | None, list[tuple[int, str]]]:
    """What comes of it, None if more would be asked; and the number and last message of every question."""
    asking = exchange(judge(**options), request)
    asked = []
    found = next(asking)
    for n, body in enumerate(replies):
        asked.append((found.number, json.loads(found.body)["messages"][-1]["content"]))
        call = Call(f"key {n}", "lab", "/chat/completions", found.number, 200, found.body, body)
        try:
            found = asking.send((call, faults.read(200, {}, body)))
        except StopIteration as end:
            return end.value, asked
    return None, asked


def test_a_reply_that_can_be_read_ends_it() -> None:
    asked, questions = converse(question(1), reply('{"a": true, "b": false}'))
    assert asked is not None
    assert (asked.answer.content, asked.answer.key, asked.answer.model) == ('{"a": true, "b": false}', "key 0", "m")
    assert (asked.keys, asked.unread) == (["key 0"], 0)
    assert questions == [(0, "Question 1")]


def test_another_is_asked_for_with_the_reason_and_under_another_number() -> None:
    asked, questions = converse(question(1, sample=3), reply("Hm."), reply(""), reply('{"a": true, "b": true}'))
    assert asked is not None
    assert (asked.answer.content, asked.answer.key) == ('{"a": true, "b": true}', "key 2")
    assert (asked.keys, asked.unread) == (["key 0", "key 1", "key 2"], 2)
    form = "Now give the JSON object that was asked for, complete and alone.)"
    assert questions == [
        (3, "Question 1"),
        (1003, f"Question 1\n\n(An earlier answer could not be used: the answer is no JSON. {form}"),
        (2003, f"Question 1\n\n(Answer 2 could not be used: the answer is empty. {form}"),
    ]


@pytest.mark.parametrize(
    ("replies", "reasks", "reason"),
    [
        ([reply("Hm."), reply("Hm.")], 1, "the answer is no JSON"),
        ([reply("Hm.")], 0, "the answer is no JSON"),
        ([reply("Hm."), reply(None, refusal="No.")], 2, "the model refused"),
        ([reply(None, "content_filter")], 2, "the model refused"),
    ],
)
def test_it_ends_with_a_reason_after_as_many_as_allowed_or_a_refusal(
    replies: list[bytes], reasks: int, reason: str
) -> None:
    asked, _ = converse(question(1), *replies, reasks=reasks)
    assert asked is not None
    assert (asked.answer.content, asked.answer.reason, asked.unread) == (None, reason, len(replies))
    assert converse(question(1), *replies[:-1], reasks=reasks)[0] is None


def test_the_remark_names_the_form_that_was_asked_for() -> None:
    turns = (Message("system", "s"), Message("user", "u"))
    for request, form in (
        (Request(turns, labels.schema(1)), "the JSON object that was asked for, complete and alone"),
        (Request(turns, tag="[x]:"), 'the line that begins with "[x]:"'),
        (Request(turns), "the answer alone"),
    ):
        assert messages(request, 0, None) == [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
        assert messages(request, 1, "why")[0] == {"role": "system", "content": "s"}
        assert messages(request, 1, "why")[1]["content"].endswith(f"could not be used: why. Now give {form}.)")
