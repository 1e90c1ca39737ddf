"""One chat completion, as a server sent it."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from stages.llm.call import Usage
from stages.llm.received import text
from stages.text.sanitise import line

SHOWN = 200
"""Characters of a server's message that are shown."""

REFUSED = "content_filter"
"""The ``finish`` of an answer that was not given."""

GLIMPSE = 80
"""Characters that are shown of an answer that can't be read."""

TEXTS, THOUGHTS = ("text", "output_text"), ("thinking", "reasoning")
"""Kinds of the parts of a content."""

HALVES = re.compile("[\ud800-\udfff]")


class UnreadableError(ValueError):
    """The body is no chat completion; the message says what it is."""


class Reply(NamedTuple):
    """The first choice of a chat completion."""

    content: str | None
    finish: str | None
    refused: bool = False
    tokens: list[Any] | None = None
    """``logprobs.content``, as the server sent it; None without."""
    usage: Usage = Usage()
    model: str | None = None
    failed: int | None = None
    """The status with which the server failed on this question, whenever it was asked."""
    reasoning: str | None = None
    """What the server keeps apart from the content as the model's thoughts."""
    garbled: bool = False
    """Whether what the server sent is no chat completion, whenever it was asked."""


def parse(body: bytes) -> Reply | tuple[Any, str]:
    """Returns the reply, or the code and message of an error that came as a success.

    Raises:
        UnreadableError: the body is neither.
    """
    try:
        value = json.loads(text(body))
    except (ValueError, RecursionError):
        start = body.lstrip()[:1]
        raise UnreadableError("an HTML page" if start == b"<" else "a body that is no whole JSON") from None
    if not isinstance(value, dict):
        raise UnreadableError("JSON that is no object")
    if value.get("error"):
        error = value["error"]
        if not isinstance(error, dict):
            return None, shown(error)
        return error.get("code"), shown(error.get("message"))
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise UnreadableError("no choices")
    choice = choices[0]
    message, finish = choice.get("message"), choice.get("finish_reason")
    if not isinstance(message, dict):
        raise UnreadableError("a choice without a message")
    if choice.get("error") or finish == "error":
        raise UnreadableError("a choice that is an error")
    model, logprobs = value.get("model"), choice.get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    return Reply(
        None if (said := content(message)) is None else whole(said),
        line(finish, SHOWN) if isinstance(finish, str) else None,
        bool(message.get("refusal")) or any(part.get("type") == "refusal" for part in _parts(message)),
        tokens if isinstance(tokens, list) else None,
        _usage(value.get("usage")),
        line(model, SHOWN) if isinstance(model, str) else None,
        reasoning=_reasoning(message),
    )


def content(message: dict[str, Any]) -> str | None:
    """Returns what a message says, a text or all parts of it that are text, without those that are thoughts; None if nothing."""
    said = message.get("content")
    if isinstance(said, str):
        return said
    texts = [part.get("text") for part in _parts(message) if part.get("type") in TEXTS]
    found = [one for one in texts if isinstance(one, str)]
    return "".join(found) if found else None


NOTHING = "no content"
"""What a glimpse of an answer without content and reasoning is."""


def glimpse(reply: Reply) -> str:
    """What came, in a few words, for somebody who wants to know why it could not be read."""
    if reply.content and reply.content.strip():
        return f'"{line(reply.content, GLIMPSE)}"'
    if reply.reasoning:
        return f'no content, and beside it the reasoning "{line(reply.reasoning, GLIMPSE)}"'
    return NOTHING


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    parts = message.get("content")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _reasoning(message: dict[str, Any]) -> str | None:
    """The thoughts, as vLLM and others, OpenRouter, and Mistral send them."""
    for said in (message.get("reasoning_content"), message.get("reasoning")):
        if isinstance(said, str) and said.strip():
            return said
    found = [part for part in _parts(message) if part.get("type") in THOUGHTS]
    return shown([part.get("thinking") or part.get("text") for part in found]) or None


def shown(message: object) -> str:
    """A server's message, fit to be shown: one short line."""
    if not message:
        return ""
    try:
        return line(message if isinstance(message, str) else json.dumps(message, ensure_ascii=False), SHOWN)
    except (ValueError, TypeError, RecursionError):
        return ""


def whole(said: str) -> str:
    r"""Returns ``said`` with U+FFFD for halves of characters, such as ``\ud83d`` alone, which no file can hold."""
    try:
        said.encode()
    except UnicodeEncodeError:
        return HALVES.sub("\ufffd", said)
    return said


def _usage(value: Any) -> Usage:
    if not isinstance(value, dict):
        return Usage()

    def count(part: Any, name: str) -> int | None:
        found = part.get(name) if isinstance(part, dict) else None
        return found if type(found) is int and 0 <= found < 2**40 else None

    dollars: Any = value.get("cost")
    return Usage(
        count(value, "prompt_tokens"),
        count(value, "completion_tokens"),
        count(value.get("prompt_tokens_details"), "cached_tokens"),
        count(value.get("completion_tokens_details"), "reasoning_tokens"),
        float(dollars) if type(dollars) in (int, float) and 0 <= dollars < 1e6 else None,
    )
