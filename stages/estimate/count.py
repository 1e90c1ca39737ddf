"""Questions of one stage to one model, counted: how many, how long, and what they cost at most and about."""

from __future__ import annotations

from dataclasses import dataclass, field

from stages.llm.providers import forced
from stages.llm.providers.transformers import Options as Local
from stages.llm.rehearsal import Noted
from stages.llm.request import Message
from stages.llm.server import faults
from stages.llm.server.options import Server

AROUND_A_MESSAGE = 20
"""Bytes that a chat template puts around a message, about."""

MEASURED = 200
"""Questions that are turned into tokens, to learn how many bytes one takes."""

TOKENS_A_VALUE = 6
"""Tokens of a key and its value in an answer whose form is laid down, about."""


@dataclass
class Count:
    """What one stage asks of one model."""

    options: Server | Local
    calls: int = 0
    known: int = 0
    """Those that the journal has an answer to, or that an earlier stage asks as well."""
    input_bytes: int = 0
    """Of those to be sent; so are all that follow."""
    forms: int = 0
    """Tokens of the answers whose form is laid down."""
    texts: int = 0
    """Tokens that the others may have, at most."""
    output_most: int = 0
    assumed: int = 0
    """How many rest on something that a model has yet to say."""
    chats: list[tuple[Message, ...]] = field(default_factory=list)
    """Some of them."""
    known_bytes: int = 0
    known_input: int = 0
    known_output: list[int] = field(default_factory=lambda: [0, 0])
    """How many known answers say how many tokens they have, and the tokens."""

    def add(self, noted: Noted, is_asked_before: bool) -> None:
        """Counts a question that this stage has not asked before."""
        self.calls += 1
        length = sum(len(message.content.encode()) + AROUND_A_MESSAGE for message in noted.request.messages)
        if noted.call is not None:
            self._learn(noted, length)
        if noted.call is not None or is_asked_before:
            self.known += 1
            return
        choices = forced.choices(noted.request.schema)
        self.input_bytes += length
        self.forms += TOKENS_A_VALUE * len(choices) + 1 if choices else 0
        self.texts += 0 if choices else noted.question.max_tokens
        self.output_most += noted.question.max_tokens
        self.assumed += noted.assumed
        if len(self.chats) < MEASURED:
            self.chats.append(noted.request.messages)

    @property
    def to_send(self) -> int:
        """Calls that would be made."""
        return self.calls - self.known

    def _learn(self, noted: Noted, length: int) -> None:
        assert noted.call is not None
        usage = faults.kept(noted.call.status, noted.call.response).usage
        if usage.prompt is not None:
            self.known_bytes += length
            self.known_input += usage.prompt
        if usage.completion is not None:
            self.known_output[0] += 1
            self.known_output[1] += usage.completion
