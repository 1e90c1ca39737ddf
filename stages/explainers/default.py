"""``default``: a language model reads texts with the firing tokens marked and says what they have in common (arXiv 2410.13928, App. B)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from stages.explainers.asking import AskingOfTexts


class Options(AskingOfTexts):
    """The entry ``{kind: default, model: …}``."""

    PROMPT: ClassVar[Path] = Path(__file__).with_name("default.md")

    kind: Literal["default"]
