"""Where a chat's instructions stand: in a turn of the system or, for models whose template knows none, before what the user says first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from stages.llm.call import Call

if TYPE_CHECKING:
    from stages.llm.request import Request
    from stages.llm.server.options import Server

SYSTEM = "system"

Shape = Literal["turn", "user"]
SHAPES: tuple[Shape, ...] = ("turn", "user")


class Known(Protocol):
    """Answers that were received, such as a journal's."""

    def get(self, key: str) -> Call | None:
        """Returns the call that was answered under ``key``, if any."""


def folded(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns a chat with what the system says at the head of the first other turn, which is the user's."""
    said = [turn["content"] for turn in turns if turn["role"] == SYSTEM]
    others = [dict(turn) for turn in turns if turn["role"] != SYSTEM]
    if others:
        others[0]["content"] = "\n\n".join([*said, others[0]["content"]])
    return others


def is_open(options: Server, request: Request) -> bool:
    """Whether it has yet to be found out in which shape ``request`` is asked."""
    return options.system == "auto" and any(message.role == SYSTEM for message in request.messages)


def as_asked(options: Server, request: Request, known: Known) -> Server | None:
    """Returns ``options`` with the shape in which ``request`` was asked before, None if it never was.

    So what was answered once is never asked again in another shape, wherever the answers lie: in the journal, whose server may be
    gone by now, or in the transcript of a stage.
    """
    for shape in SHAPES:
        settled = options.settled(shape)
        if known.get(settled.key(request)) is not None:
            return settled
    return None
