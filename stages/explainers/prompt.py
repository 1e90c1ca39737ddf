"""Prompts as files: what a model is told, and worked examples of what it is to answer, before the latent in question."""

from __future__ import annotations

import re
from pathlib import Path

from stages.explainers.form import Form
from stages.llm.request import Message

HEADING = re.compile(r"^# (system|user|analysis|explanation)\n", re.MULTILINE)


def read(path: Path, form: Form, without: tuple[str, ...] = ()) -> tuple[Message, ...]:
    """Returns the turns that all requests of a stage begin with.

    The file holds the turns under the headings ``# system``, ``# user`` and ``# explanation``, with ``# analysis`` before
    the last where the model is to reason. The user's turns are as those that follow will be. Lines that begin with one of
    ``without`` are left out: what they would explain or show is not shown.
    """
    _, *parts = HEADING.split(path.read_text("utf-8"))
    messages = []
    analysis = ""
    for heading, part in zip(parts[::2], parts[1::2], strict=True):
        text = "\n".join(line for line in part.strip().splitlines() if not line.startswith(without))
        match heading:
            case "system":
                messages.append(Message("system", f"{text}\n\n{form.told}"))
            case "user":
                messages.append(Message("user", text))
            case "analysis":
                analysis = text
            case "explanation":
                messages.append(Message("assistant", form.said(text, analysis)))
    return tuple(messages)
