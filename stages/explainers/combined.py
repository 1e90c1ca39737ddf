"""``combined``: texts on which the latent fires and the tokens that it promotes, in one prompt (arXiv 2501.08319, the ensemble)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from stages.corpus.tokens import Vocabulary
from stages.examples.table import LatentExamples
from stages.explainers import shown
from stages.explainers.asking import AskingOfTexts
from stages.explainers.boosted import Boosting
from stages.explainers.output import MISSING

READS = ("subject", "cache", "coders")
"""Of params.yaml, beside its own entry."""


class Options(Boosting, AskingOfTexts):
    """The entry ``{kind: combined, model: …}``."""

    PROMPT: ClassVar[Path] = Path(__file__).with_name("combined.md")

    kind: Literal["combined"]

    def _show(self, latent: LatentExamples, vocabulary: Vocabulary) -> list[str] | str:
        lines = super()._show(latent, vocabulary)
        if isinstance(lines, str):
            return lines
        output = shown.output(latent.facts, vocabulary)
        return [*lines, *output] if output else MISSING
