"""One request until its answer can be read: what to ask, and what to make of the replies. Who asks whom is for others."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any, NamedTuple, Protocol

from stages.llm.call import Call
from stages.llm.forms import answers, probabilities
from stages.llm.reply import Reply
from stages.llm.request import SAMPLES, Answer, Probability, Request

REMARK = re.compile(
    r"(earlier answer|answer \d+) could not be used|now give (the answer alone|the json object that)", re.IGNORECASE
)
"""What a model is told that is asked again, where it repeats that."""


class Question(NamedTuple):
    """What is asked once, and how it differs from the same asked before."""

    body: bytes
    number: int
    max_tokens: int


class Asked(NamedTuple):
    """An answer and the calls that it took."""

    answer: Answer
    keys: list[str]
    unread: int
    """How many of the replies could not be read."""


class Options(Protocol):
    """What a model's options must say."""

    @property
    def reasks(self) -> int:
        """How often an answer that can't be read is asked for again."""

    @property
    def logprobs(self) -> int:
        """0 if no log-probabilities come with an answer."""

    def body(self, request: Request, again: int = 0, reason: str | None = None) -> bytes:
        """Returns what is sent for ``request``, the ``again``-th time after an answer that had to be refused."""

    def limit_of(self, request: Request) -> int:
        """Returns the most tokens that the answer to ``request`` may have."""


def exchange(options: Options, request: Request) -> Generator[Question, tuple[Call, Reply], Asked]:
    """Yields what to ask until the reply, which is sent in with its call, can be read; no more often than the options say."""
    keys: list[str] = []
    reason = None
    for again in range(options.reasks + 1):
        body, number = options.body(request, again, reason), request.sample + SAMPLES * again
        call, reply = yield Question(body, number, options.limit_of(request))
        keys.append(call.key)
        found = answers.read(reply, request.schema, request.tag)
        reason = found.reason
        if reason is None:
            wanted = request.logprobs and options.logprobs > 0
            return Asked(_answer(call, reply, found, request, wanted), keys, len(keys) - 1)
        if found.final:
            break
    return Asked(Answer(None, reason, key=keys[-1], model=reply.model), keys, len(keys))


def proceed(asking: Generator[Question, tuple[Call, Reply], Asked], answered: tuple[Call, Reply]) -> Question | Asked:
    """Sends a reply into an exchange; returns what to ask next, or what it came to."""
    try:
        return asking.send(answered)
    except StopIteration as end:
        asked: Asked = end.value
        return asked


def messages(request: Request, again: int, reason: str | None) -> list[dict[str, Any]]:
    """Returns the chat, with a remark at its end when it is not asked for the first time.

    At the very end, so that what was computed for the beginning stays of use.
    """
    turns = [message._asdict() for message in request.messages]
    if reason is not None:
        form = "the JSON object that was asked for, complete and alone" if request.schema else "the answer alone"
        if request.tag:
            form = f'the line that begins with "{request.tag}"'
        before = "An earlier answer" if again == 1 else f"Answer {again}"
        turns[-1]["content"] += f"\n\n({before} could not be used: {reason}. Now give {form}.)"
    return turns


def _answer(call: Call, reply: Reply, found: answers.Read, request: Request, wanted: bool) -> Answer:
    if request.schema is None:
        return Answer(found.value, key=call.key, model=reply.model)
    sure: dict[str, Probability] | None = None
    mass = None
    if wanted and reply.content and found.span:
        said = (reply.content, found.span, reply.tokens or [])
        sure, mass = probabilities.read(*said), probabilities.mass(*said)
    return Answer(json.dumps(found.value, ensure_ascii=False), None, sure, call.key, reply.model, mass)
