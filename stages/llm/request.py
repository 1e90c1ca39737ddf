"""One request to a model and its answer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hashlib import _Hash

SAMPLES = 1000
"""Samples that may be asked of one request; numbers above are for asking again after an answer that can't be used."""


NOT_ASKED = "not answered yet"
"""The reason of an answer that nobody was asked for."""


class Message(NamedTuple):
    """One turn of a chat."""

    role: str
    content: str


@dataclass
class Request:
    """A chat, and what its answer has to be. Nobody changes it; to make it so that nobody can takes longer than to hash it.

    Put what all requests of a stage share first and what differs last: servers keep what they computed for a common beginning.
    """

    messages: tuple[Message, ...]

    schema: dict[str, Any] | None = None
    """The JSON schema that the answer has to satisfy; None for free text. Nobody changes it."""

    tag: str | None = None
    """For free text: the answer is the line that begins with this, the last of them; None if it is all of the text."""

    logprobs: bool = False
    """Whether the probabilities of the answer's labels are wanted, where the model's options allow it."""

    max_tokens: int | None = None
    """Tokens of the answer at most, when other than the model's option says."""

    sample: int = 0
    """Which of several answers to the same chat this is, from 0 to ``SAMPLES`` - 1."""

    parts: tuple[Beginning, Ending] | None = field(default=None, compare=False, repr=False)
    """What ``messages`` were put together of, if they were: then parts of the key are known as well."""

    @cached_property
    def key(self) -> str:
        """The sha256 of the question, whoever is asked: of ``{"messages": …, "schema": …}`` as ``outputs.fingerprint`` spells it.

        What many questions have in common, all turns but the last and the schema, is spelt and hashed once.
        """
        if self.parts is not None:
            return self.parts[0].key(self.parts[1], self.schema)
        digest = _begun(self.messages[:-1]).copy()
        digest.update(f'{",".join(map(_turn, self.messages[-1:]))}],"schema":{_form(self.schema)}}}'.encode())
        return digest.hexdigest()


class Probability(NamedTuple):
    """Bounds of P(true) / (P(true) + P(false)) for one label; equal when both were among the reported tokens."""

    low: float
    high: float


class Answer(NamedTuple):
    """What the model said, or why it said nothing that can be used."""

    content: str | None
    """The text; for a request with a schema, JSON that satisfies it."""

    reason: str | None = None
    """Why there is no content."""

    probabilities: dict[str, Probability] | None = None
    """For each true or false of the content, where the server's log-probabilities tell."""

    key: str | None = None
    """The journal's key of the call that brought the content; None when nothing was sent."""

    model: str | None = None
    """The model that the server says has answered."""

    mass: float | None = None
    """How probable the values that the schema allows are together at the first of its places, where log-probabilities tell."""


class Ending:
    """The end of a question, which is asked after several beginnings."""

    def __init__(self, text: str) -> None:
        """``text`` is the end of the last turn."""
        self.text = text

    @cached_property
    def spelt(self) -> str:
        """How it stands in what is hashed."""
        return _spelt(self.text)[1:-1]


class Beginning:
    """What several questions begin with: whole turns, and the beginning of the user's last."""

    def __init__(self, turns: tuple[Message, ...], text: str) -> None:
        """``text`` is the beginning of the last turn."""
        self.turns, self.text = turns, text

    def request(self, ending: Ending, schema: dict[str, Any] | None = None, logprobs: bool = False) -> Request:
        """Returns the question that goes on with ``ending``."""
        messages = (*self.turns, Message("user", self.text + ending.text))
        return Request(messages, schema, logprobs=logprobs, parts=(self, ending))

    def key(self, ending: Ending, schema: dict[str, Any] | None) -> str:
        """Returns the ``key`` of that question: texts are spelt character by character, so their parts are."""
        digest = self._begun.copy()
        digest.update(f'{ending.spelt}","role":"user"}}],"schema":{_form(schema)}}}'.encode())
        return digest.hexdigest()

    @cached_property
    def _begun(self) -> _Hash:
        digest = _begun(self.turns).copy()
        digest.update(f'{{"content":{_spelt(self.text)[:-1]}'.encode())
        return digest


_spelt = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def _turn(message: Message) -> str:
    return f'{{"content":{_spelt(message.content)},"role":{_spelt(message.role)}}}'


@lru_cache(maxsize=16)
def _begun(messages: tuple[Message, ...]) -> _Hash:
    """The hash of a question's beginning, to be copied and gone on with."""
    return hashlib.sha256(('{"messages":[' + "".join(f"{_turn(message)}," for message in messages)).encode())


MOST_FORMS = 256
_forms: dict[int, tuple[Any, str]] = {}
"""By their ids some schemas, which are held so that the ids stay theirs, and how they are spelt."""


def _form(schema: dict[str, Any] | None) -> str:
    known = _forms.get(id(schema))
    if known is None:
        if len(_forms) >= MOST_FORMS:
            _forms.clear()
        known = _forms[id(schema)] = (schema, _spelt(schema))
    return known[1]
