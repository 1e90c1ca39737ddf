"""Prompts as files: what a model is told, and worked examples of what it is to answer, before the latent in question."""

from __future__ import annotations

import re
from pathlib import Path

from stages.explainers.form import Form
from stages.llm.request import Message

HEADING = re.compile(r"^# (system|user|analysis|explanation)\n", re.MULTILINE)


def worked(path: Path, shots: int | None = None) -> list[str]:
    """Returns the explanations of the first ``shots`` worked examples of a prompt, or of all."""
    _, *parts = HEADING.split(path.read_text("utf-8"))
    found = [part.strip() for heading, part in zip(parts[::2], parts[1::2], strict=True) if heading == "explanation"]
    return found[:shots]


def read(path: Path, form: Form, without: tuple[str, ...] = (), shots: int | None = None) -> tuple[Message, ...]:
    """Returns the turns that all requests of a stage begin with, with the first ``shots`` worked examples or all.

    The file holds the turns under the headings ``# system``, ``# user`` and ``# explanation``, with ``# analysis`` before
    the last where the model is to reason. The user's turns are as those that follow will be. Lines that begin with one of
    ``without`` are left out: what they would explain or show is not shown.
    """
    _, *parts = HEADING.split(path.read_text("utf-8"))
    messages: list[Message] = []
    analysis, given = "", 0
    for heading, part in zip(parts[::2], parts[1::2], strict=True):
        if heading != "system" and shots is not None and given >= shots:
            break
        text = "\n".join(line for line in part.strip().splitlines() if not line.startswith(without))
        match heading:
            case "system":
                messages.append(Message("system", f"{text}\n\n{form.instruction}"))
            case "user":
                messages.append(Message("user", text))
            case "analysis":
                analysis = text
            case "explanation":
                messages.append(Message("assistant", form.said(text, analysis)))
                given += 1
    return tuple(messages)
