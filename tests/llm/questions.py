"""Questions to language models, of both kinds."""

from __future__ import annotations

from typing import Any

from stages.llm.forms import labels
from stages.llm.request import Message, Request


def question(number: int, **options: Any) -> Request:
    """A question for verdicts if the number is odd, for a text if it is even; of different lengths."""
    user = f"Question {number}, {'is it true? ' * (number % 7)}"
    options.setdefault("schema", labels.schema(3) if number % 2 else None)
    return Request((Message("system", "Judge."), Message("user", user)), logprobs=True, **options)
