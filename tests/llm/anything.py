"""Whatever a server may send: bytes of any kind, JSON of any shape, and completions with anything in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import reduce
from typing import Any

from hypothesis import strategies as st

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=12)  # halves of characters too
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([10**12, -(10**12), 10**400, -(10**400), 2**63, 1e308, float("inf"), float("nan"), True])
)
SPELT = st.sampled_from(
    ["true", "false", " true", '{"a": true}', "content_filter", "error", "length", "text", "\ud83d"]
)
NAMES = st.sampled_from(
    [
        *(
            "choices",
            "message",
            "content",
            "finish_reason",
            "refusal",
            "reasoning_content",
            "reasoning",
            "logprobs",
            "usage",
        ),
        *("model", "error", "code", "type", "text", "thinking", "detail", "prompt_tokens", "completion_tokens", "cost"),
        *("token", "logprob", "bytes", "top_logprobs", "prompt_tokens_details", "cached_tokens"),
    ]
)
DEEP = st.integers(1, 3000).flatmap(
    lambda depth: st.sampled_from(['{"a":', "[", '{"error":{"message":']).map(lambda one: one * depth)
)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | ANY_TEXT | SPELT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


ODD = [
    None,
    [],
    {},
    [1],
    {"a": 1},
    "\ud83d",
    "x\ud83d\0y",
    10**400,
    10**13,
    -1,
    float("nan"),
    float("inf"),
    "",
    True,
    0.5,
]
"""What is easily of another type than one thinks."""

Place = tuple[str | int, ...]


def places(value: Any, before: Place = ()) -> Iterator[Place]:
    """Where something stands in ``value``, from the whole down."""
    yield before
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*before, key))


def put(value: Any, place: Place, part: Any) -> Any:
    """``value`` with ``part`` at ``place``, or as it is if that is there no more."""
    if not place:
        return part
    key, *rest = place
    if isinstance(value, dict) and key in value:
        return {**value, key: put(value[key], tuple(rest), part)}
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return [*value[:key], put(value[key], tuple(rest), part), *value[key + 1 :]]
    return value


def replaced(value: Any) -> st.SearchStrategy[Any]:
    """``value`` with anything in up to three of its places."""
    changes = st.lists(st.tuples(st.sampled_from(list(places(value))), st.sampled_from(ODD) | JSON), max_size=3)
    return changes.map(lambda some: reduce(lambda before, one: put(before, *one), some, value))


TOKEN = {"token": "true", "logprob": -0.1, "bytes": [116, 114, 117, 101]}
TOKENS = [{"token": '{"a": ', "logprob": 0.0, "bytes": None}, {**TOKEN, "top_logprobs": [TOKEN, TOKEN]}, {"token": "}"}]
CONTENT = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": '{"a": true}'}]
MESSAGE = {"role": "assistant", "content": '{"a": true}', "reasoning_content": "hm", "refusal": None}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}, "cost": 0.1}
COMPLETION = {
    "model": "m",
    "choices": [{"message": MESSAGE, "finish_reason": "stop", "logprobs": {"content": TOKENS}}],
    "usage": USAGE,
}
ERROR = {"error": {"code": "content_filter", "message": "no", "type": "server_error"}, "detail": "d"}
PARTS = {"choices": [{"message": {**MESSAGE, "content": CONTENT}, "finish_reason": "stop"}]}

VALUES = JSON | replaced(COMPLETION) | replaced(ERROR) | replaced(PARTS)


def written(value: Any, encoding: str, ascii: bool) -> bytes:
    """``value`` as JSON, as well as its text can be written in an encoding."""
    return json.dumps(value, ensure_ascii=ascii).encode(
        encoding, "surrogatepass" if encoding != "latin-1" else "replace"
    )


ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be", "latin-1"])
BODIES = (
    st.binary(max_size=40)
    | st.builds(written, VALUES, ENCODINGS, st.booleans())
    | st.tuples(st.builds(written, VALUES, ENCODINGS, st.booleans()), st.binary(max_size=4)).map(b"".join)
    | DEEP.map(str.encode)
)
STATUSES = st.sampled_from([200, 200, 200, 400, 429, 500, 503, 0, 100, 302, 418, 999]) | st.integers(-(2**70), 2**70)


def each_replaced(value: Any) -> Iterator[Any]:
    """``value`` with every odd thing in each of its places, one at a time."""
    for place in places(value):
        for odd in ODD:
            yield put(value, place, odd)
