"""The conversation in a row of data: a list of messages, ``{role, content}`` or ShareGPT's ``{from, value}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stages.corpus.document import Document, Turn
from stages.corpus.field import text, value
from stages.errors import GlossaError

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Who may speak. No other, as templates write a role between the signs of a control token."""

SHAREGPT = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
"""What ``from`` may say, and the role it stands for."""


def document(name: str, row: Any, field: str, where: str, is_chat: bool) -> Document:
    """Returns a row of data as a document; ``where`` begins the sentence of a mistake.

    Raises:
        GlossaError: ``field`` is not there, or holds no text or, if the corpus ``is_chat``, no conversation.
    """
    return Document(name, "", turns(row, field, where)) if is_chat else Document(name, text(row, field, where))


def turns(row: Any, field: str, where: str) -> tuple[Turn, ...]:
    """Returns the messages in ``field`` of a row, in their order; none if there are none (null, or an empty list).

    Keys of a message whose value is null, as tables have them where other messages have one, are left out.

    Raises:
        GlossaError: there is no such field, or something else in it.
    """
    found = value(row, field, where)
    if found is None:
        return ()
    if not isinstance(found, list | tuple):
        raise GlossaError(
            f"{where} should have a conversation in {field}, a list of {{role, content}}, found {type(found).__name__}"
        )
    return tuple(_turn(one, f"{where} message {number} of {field}") for number, one in enumerate(found, start=1))


def _turn(found: Any, where: str) -> Turn:
    if not isinstance(found, Mapping):
        raise GlossaError(f"{where} should be {{role, content}}, found {type(found).__name__}")
    turn = {str(key): part for key, part in found.items() if part is not None}
    if "role" not in turn and "from" in turn:
        known: tuple[str, ...] = tuple(SHAREGPT)
        role = SHAREGPT.get(said) if isinstance(said := turn["from"], str) else None
        turn = {"role": role, "content": turn.get("value")}
    else:
        known, said = ROLES, turn.get("role")
        role = said if said in ROLES else None
    if role is None:
        raise GlossaError(f"{where} should be of {', '.join(known[:-1])} or {known[-1]}, found {said!r:.60}")
    if not isinstance(turn.get("content"), str) and not (turn.get("tool_calls") and "content" not in turn):
        raise GlossaError(f"{where} should have a string as its content, found {type(turn.get('content')).__name__}")
    return {"content": "", **turn}
