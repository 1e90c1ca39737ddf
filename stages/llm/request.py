"""One request to a model and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from stages.outputs import fingerprint


class Message(NamedTuple):
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True)
class Request:
    """A chat and the JSON schema that its answer has to satisfy."""

    messages: tuple[Message, ...]
    schema: dict[str, Any]

    @cached_property
    def key(self) -> str:
        """The sha256 of all that the model is sent."""
        messages = [message._asdict() for message in self.messages]
        return fingerprint({"messages": messages, "schema": self.schema})


class Answer(NamedTuple):
    """What the model said, or why it said nothing."""

    content: str | None
    reason: str | None = None
