"""Prompts as files: what a model is told, and worked examples of what it is to answer, before the latent in question."""

from __future__ import annotations

import re

from stages.errors import GlossaError
from stages.explainers.form import Form
from stages.llm.request import Message
from stages.prompts import HELP

HEADING = re.compile(r"^# (system|user|analysis|explanation)\n", re.MULTILINE)


def worked(content: str, shots: int | None = None) -> list[str]:
    """Returns the explanations of the first ``shots`` worked examples of a prompt, or of all."""
    _, *parts = HEADING.split(content)
    found = [part.strip() for heading, part in zip(parts[::2], parts[1::2], strict=True) if heading == "explanation"]
    return found[:shots]


def check(content: str, place: str, thinks: bool) -> None:
    """Makes sure that the prompt at ``place`` has the turns that ``read`` takes.

    Raises:
        GlossaError: something stands before ``# system`` or it is not there, a turn is empty, or an example lacks a part.
    """
    before, *parts = HEADING.split(content)
    headings, turns = parts[::2], parts[1::2]
    example = ["user", "analysis", "explanation"] if thinks else ["user", "explanation"]
    examples, left = divmod(len(headings) - 1, len(example))
    due = ["system", *example * examples]
    if before.strip() or headings != due or left or not all(turn.strip() for turn in turns):
        form = " and ".join(f"# {name}" for name in example)
        raise GlossaError(
            f"expected the prompt {place} to begin with # system and go on with any number of {form}, with text below each, found "
            f"{', '.join(f'# {name}' for name in headings) or 'no heading'}; {HELP}"
        )


def read(content: str, form: Form, without: tuple[str, ...] = (), shots: int | None = None) -> tuple[Message, ...]:
    """Returns the turns that all requests of a stage begin with, with the first ``shots`` worked examples or all.

    ``content`` holds the turns under the headings ``# system``, ``# user`` and ``# explanation``, with ``# analysis`` before
    the last where the model is to reason. The user's turns are as those that follow will be. Lines that begin with one of
    ``without`` are left out: what they would explain or show is not shown.
    """
    _, *parts = HEADING.split(content)
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
