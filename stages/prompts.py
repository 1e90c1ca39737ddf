"""Prompts as files: ours, which lie beside the code that asks, or one's own in their place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stages import given
from stages.errors import GlossaError

REMEDY = "correct prompt of its entry in params.yaml"
HELP = "see docs/llm.md#a-prompt-of-your-own"


def read(own: str | None, ours: Path, holds: Sequence[str] = ()) -> str:
    """Returns the text of the file ``own``, a path of params.yaml, or of ``ours`` where there is none; it must hold all texts of ``holds``.

    Raises:
        GlossaError: there is no such file, it is empty or no UTF-8, or it lacks what it must hold.
    """
    if own is None:
        return ours.read_text("utf-8")
    content = given.content(Path(own), "a prompt", REMEDY, given.project(own))
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise GlossaError(f"expected UTF-8 in the prompt {own}, but byte {error.start} is none; convert it") from None
    if not text.strip():
        raise GlossaError(f"expected a prompt in {own}, but it is empty; {HELP}")
    if lacking := [one for one in holds if one not in text]:
        raise GlossaError(
            f"expected {' and '.join(holds)} in the prompt {own}, but {' and '.join(lacking)} is not there; {HELP}"
        )
    return text
