"""One call to a server: what was sent, what came back, what it used."""

from __future__ import annotations

from typing import NamedTuple


class Call(NamedTuple):
    """A question and its answer, byte for byte."""

    key: str
    """``canonical.key`` of endpoint, path, sample and request."""
    endpoint: str
    """Its name in params.yaml."""
    path: str
    sample: int
    status: int
    """Of HTTP."""
    request: bytes
    """Canonical JSON."""
    response: bytes
    """As received."""


class Usage(NamedTuple):
    """What a server counted; None for what it did not say."""

    prompt: int | None = None
    """Tokens of the prompt, the cached ones included."""
    completion: int | None = None
    """Tokens of the answer, its reasoning included."""
    cached: int | None = None
    reasoning: int | None = None
    dollars: float | None = None
