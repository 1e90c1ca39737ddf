"""One request to a model and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from stages.outputs import fingerprint

SAMPLES = 1000
"""Samples that may be asked of one request; numbers above are for asking again after an answer that can't be used."""


class Message(NamedTuple):
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True)
class Request:
    """A chat, and what its answer has to be.

    Put what all requests of a stage share first and what differs last: servers keep what they computed for a common beginning.
    """

    messages: tuple[Message, ...]

    schema: dict[str, Any] | None = None
    """The JSON schema that the answer has to satisfy; None for free text."""

    tag: str | None = None
    """For free text: the answer is the line that begins with this, the last of them; None if it is all of the text."""

    logprobs: bool = False
    """Whether the probabilities of the answer's labels are wanted, where the model's options allow it."""

    max_tokens: int | None = None
    """Tokens of the answer at most, when other than the model's option says."""

    sample: int = 0
    """Which of several answers to the same chat this is, from 0 to ``SAMPLES`` - 1."""

    @cached_property
    def key(self) -> str:
        """The sha256 of the question, whoever is asked."""
        messages = [message._asdict() for message in self.messages]
        return fingerprint({"messages": messages, "schema": self.schema})


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
