"""Endpoints, models and requests for tests of stages.llm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stages.llm import labels, load
from stages.llm.openai import Options
from stages.llm.request import Answer, Message, Request

JUDGE = {"provider": "openai", "endpoint": "lab", "model": "m", "max_tokens": 50}


def runtime_yaml(url: str, **options: Any) -> None:
    """Writes runtime.yaml into the current folder, with the endpoint ``lab``."""
    Path("runtime.yaml").write_text(json.dumps({"endpoints": {"lab": {"base_url": url, **options}}}))


def judge(**options: Any) -> Options:
    """The model that asks ``lab``."""
    model = load("models.judge", {**JUDGE, **options})
    assert isinstance(model, Options)
    return model


def question(number: int, n: int = 2, **options: Any) -> Request:
    """A request for ``n`` verdicts."""
    messages = (Message("system", "Judge. " * 40), Message("user", f"Question {number}"))
    return Request(messages, labels.schema(n), **options)


def ask(n: int = 1, **options: Any) -> list[Answer]:
    """The answers to the first ``n`` questions."""
    return list(judge(**options).answer(question(number) for number in range(n)))
