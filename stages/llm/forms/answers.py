"""From what a model wrote to what it answered: never more than is there, never a guess.

There is tolerance for what stands around an answer, a preamble, a fence or a remark, and none for the answer: what would
satisfy the request's schema only after a change, or in two different ways, is none.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

from stages.llm.forms import thoughts
from stages.llm.reply import REFUSED, Reply

BRACE = re.compile(r"""\{(?=[ \t\n\r]*+["}])""")
"""Where an object may begin."""

EFFORT, ATTEMPT, STEP = 2**22, 64, 2**12
"""Characters that are read in the search for an answer, beside once all of the text, before it is given up, a second or so; what to begin
to read costs, in characters; and how many are at least left behind at once."""

DECODER = json.JSONDecoder(
    object_pairs_hook=lambda pairs: _object(pairs), parse_constant=lambda name: _refuse(f"{name} is no JSON")
)


class Read(NamedTuple):
    """An answer, or why there is none."""

    value: Any = None
    """As the schema has it; for free text, the text."""

    reason: str | None = None

    final: bool = False
    """Whether asking again is pointless."""

    span: tuple[int, int] | None = None
    """Where in the content the value stands."""


def read(reply: Reply, schema: dict[str, Any] | None, tag: str | None = None) -> Read:
    """Reads a reply as an answer that satisfies ``schema``, or as free text, of which ``tag`` begins the answer, when that is None."""
    if reply.refused or reply.finish == REFUSED:
        return Read(reason="the model refused", final=True)
    if reply.failed:
        return Read(reason=f"the server failed on it ({reply.failed})")
    if reply.garbled:
        return Read(reason="what the server sent is no answer")
    if reply.finish == "length":
        return Read(reason="the answer was cut off at max_tokens")
    if reply.content is None or not reply.content.strip():
        return Read(reason="the answer is all reasoning" if reply.reasoning else "the answer is empty")
    place = thoughts.answer(reply.content)
    if place is None:
        return Read(reason="the answer is all reasoning")
    start, end = place
    text = reply.content[start:end]
    if schema is None:
        return _tagged(text, tag) if tag else Read(text.strip())
    found = _objects(text)
    fitting = [(value, span) for value, span in found if satisfies(value, schema)]
    if not fitting:
        return Read(reason="the answer has another form than asked for" if found else "the answer is no JSON")
    if any(value != fitting[0][0] for value, _ in fitting):
        return Read(reason="the answer says different things")
    value, (begin, end) = fitting[-1]
    return Read(_ordered(value, schema), span=(start + begin, start + end))


def satisfies(value: Any, schema: dict[str, Any]) -> bool:
    """Whether ``value`` satisfies a schema made of the keywords that every server knows.

    These are type, enum, properties and required with additionalProperties false, and items.
    """
    if "enum" in schema:
        return any(value == one and type(value) is type(one) for one in schema["enum"])
    match schema["type"]:
        case "object":
            parts = schema["properties"]
            return (
                isinstance(value, dict)
                and set(value) <= set(parts)
                and set(schema.get("required", parts)) <= set(value)
                and all(satisfies(inner, parts[key]) for key, inner in value.items())
            )
        case "array":
            return isinstance(value, list) and all(satisfies(inner, schema["items"]) for inner in value)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return type(value) is int
        case "number":
            return type(value) in (int, float) and abs(value) != math.inf  # as which 1e999 is read
        case "null":
            return value is None
    raise ValueError(f"no answer can be checked against {schema}")


def _tagged(text: str, tag: str) -> Read:
    """The rest of the last line with ``tag``, or the next line with text; a tag may be set in bold."""
    *others, last = re.split(re.escape(tag), text, flags=re.IGNORECASE)
    if not others:
        return Read(reason=f'the answer has no line with "{tag}"')
    lines = last.removeprefix("**").strip().splitlines()
    return Read(lines[0].strip()) if lines else Read(reason=f'nothing stands behind "{tag}"')


def _objects(text: str) -> list[tuple[Any, tuple[int, int]]]:
    """Every JSON object in ``text`` that is not part of another one, and where it stands.

    None at all where it takes too long to tell: braces within braces that are never closed begin as many objects as there are
    braces, each of which fails at the end of the text.
    """
    found = []
    effort, step = EFFORT + len(text), max(STEP, len(text) // 256)
    base, rest = 0, text
    start = BRACE.search(text)
    while start and effort > 0:
        place = start.start()
        if place - base > step:  # an error counts the lines before it
            base, rest = place, text[place:]
        try:
            value, end = DECODER.raw_decode(rest, place - base)
            reached = end = base + end
            found.append((value, (place, end)))
        except (ValueError, RecursionError) as error:
            reached = base + error.pos if isinstance(error, json.JSONDecodeError) else len(text)
            end = place + 1
            effort -= (place - base) // 8
        effort -= ATTEMPT + reached - place
        start = BRACE.search(text, end)
    return [] if start else found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        _refuse("a key is there twice")
    return value


def _refuse(reason: str) -> Any:
    raise ValueError(reason)


def _ordered(value: Any, schema: dict[str, Any]) -> Any:
    """``value`` with the keys in the order of the schema."""
    if isinstance(value, dict):
        parts = schema["properties"]
        return {key: _ordered(value[key], parts[key]) for key in parts if key in value}
    if isinstance(value, list):
        return [_ordered(inner, schema["items"]) for inner in value]
    return value
