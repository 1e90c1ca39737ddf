"""``cot``: as ``default``, but the model reasons in steps before it explains (arXiv 2410.13928, App. B)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from stages.explainers.asking import AskingOfTexts


class Options(AskingOfTexts):
    """The entry ``{kind: cot, model: …}``; the model needs some hundred more max_tokens."""

    PROMPT: ClassVar[Path] = Path(__file__).with_name("cot.md")
    THINKS: ClassVar[bool] = True

    kind: Literal["cot"]
