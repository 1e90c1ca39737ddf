from __future__ import annotations

import json
from typing import Any

import pytest

from stages.llm.call import Usage
from stages.llm.reply import Reply, parse


def body(**changes: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], **changes}).encode()


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (None, Usage()),
        ("many", Usage()),
        ({}, Usage()),
        ({"prompt_tokens": 5, "completion_tokens": 0}, Usage(5, 0)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "cost": 0.25}, Usage(5, 2, dollars=0.25)),
        ({"prompt_tokens": -5, "completion_tokens": 2.5, "cost": -1}, Usage()),
        ({"prompt_tokens": True, "completion_tokens": "2", "cost": "1"}, Usage()),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            Usage(5, 9, 4, 7),
        ),
        ({"prompt_tokens": 5, "completion_tokens": 9, "prompt_tokens_details": None}, Usage(5, 9)),
    ],
)
def test_usage_is_what_the_server_counted_and_absent_is_not_nought(usage: Any, read: Usage) -> None:
    reply = parse(body(usage=usage))
    assert isinstance(reply, Reply)
    assert reply.usage == read


def test_what_is_there_is_read_and_what_is_of_another_type_is_not() -> None:
    assert parse(body(model="m")) == Reply("x", "stop", model="m")
    assert parse(body(choices=[{"message": {"content": ["x"]}, "finish_reason": 3}])) == Reply(None, None)
    assert parse(body(choices=[{"message": {"refusal": "no"}}])) == Reply(None, None, refused=True)
    assert parse(body(error=None)) == Reply("x", "stop")
    assert parse(b'{"error": {"message": "a\\u001b[2J\\nb", "code": 5}}') == (5, "a b")


@pytest.mark.parametrize(
    ("message", "content", "reasoning"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab", None),
        ({"content": [{"type": "output_text", "text": "a"}, {"type": "image_url"}, "c", 5]}, "a", None),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}, None, "hm"),
        ({"content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "a"}]}, "a", "hm"),
        ({"content": [{"type": "text", "text": 5}, {"type": ["text"], "text": "a"}]}, None, None),
        ({"content": []}, None, None),
        ({"content": None, "reasoning_content": "hm"}, None, "hm"),
        ({"content": "a", "reasoning": "hm", "reasoning_content": " "}, "a", "hm"),
        ({"content": "a", "reasoning_content": {"text": "hm"}}, "a", None),
        ({"content": "x\ud83dy"}, "x\ufffdy", None),
    ],
)
def test_content_is_all_text_that_is_no_thought(
    message: dict[str, Any], content: str | None, reasoning: str | None
) -> None:
    reply = parse(body(choices=[{"message": message}]))
    assert isinstance(reply, Reply)
    assert reply.content == content
    assert (reply.reasoning is None) == (reasoning is None)
    assert (reasoning or "") in (reply.reasoning or "")


def test_a_part_that_is_a_refusal_is_one() -> None:
    reply = parse(body(choices=[{"message": {"content": [{"type": "refusal", "refusal": "no"}]}}]))
    assert reply == Reply(None, None, refused=True)
