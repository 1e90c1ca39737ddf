"""Endpoints, models and requests for tests of stages.llm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stages.cli import main
from stages.llm import load
from stages.llm.forms import labels
from stages.llm.providers.openai import Options
from stages.llm.request import Answer, Message, Request

JUDGE = {"provider": "openai", "endpoint": "lab", "model": "m", "max_tokens": 50}


def runtime_yaml(url: str, **options: Any) -> None:
    """Writes runtime.yaml into the current folder, with the endpoint ``lab``."""
    Path("runtime.yaml").write_text(json.dumps({"endpoints": {"lab": {"base_url": url, **options}}}))


def move_into(folder: Path, finished: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies a ``finished`` workplace to ``folder``, which is the current one then, with the endpoint ``lab`` at ``url``."""
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    runtime_yaml(url, concurrency=8)
    return folder


def run(*arguments: str) -> Result:
    """Runs the real command line."""
    return CliRunner().invoke(main, arguments)


def done(*arguments: str) -> str:
    """Runs a command that has to succeed; returns what it says."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


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
