"""Prompts as files: what a model is told, and worked examples of what it is to answer, before the latent in question."""

from __future__ import annotations

import re
from pathlib import Path

from stages.explainers.form import Form
from stages.explainers.shown import FIRING
from stages.llm.request import Message

HEADING = re.compile(r"^# (system|user|analysis|explanation)\n", re.MULTILINE)


def read(path: Path, form: Form, strengths: bool = True) -> tuple[Message, ...]:
    """Returns the turns that all requests of a stage begin with.

    The file holds the turns under the headings ``# system``, ``# user`` and ``# explanation``, with ``# analysis`` before
    the last where the model is to reason. The user's turns are as those that follow will be; without ``strengths`` their
    lists of tokens are left out.
    """
    _, *parts = HEADING.split(path.read_text("utf-8"))
    messages = []
    analysis = ""
    for heading, part in zip(parts[::2], parts[1::2], strict=True):
        text = part.strip()
        match heading:
            case "system":
                messages.append(Message("system", f"{text}\n\n{form.told}"))
            case "user":
                lines = [line for line in text.splitlines() if strengths or not line.startswith(FIRING)]
                messages.append(Message("user", "\n".join(lines)))
            case "analysis":
                analysis = text
            case "explanation":
                messages.append(Message("assistant", form.said(text, analysis)))
    return tuple(messages)
