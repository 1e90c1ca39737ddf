"""``output``: a language model reads what a latent does to the next token, not where it fires (arXiv 2501.08319, VocabProj).

Where it is asked for, the model also reads what raising the latent boosts in real texts (TokenChange).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from stages.corpus.tokens import Vocabulary
from stages.examples.table import LatentExamples
from stages.explainers import shown
from stages.explainers.asking import Asking
from stages.explainers.boosted import Boosting

MISSING = "it is not known what the latent promotes"

READS = ("subject", "cache", "coders")
"""Of params.yaml, beside its own entry."""


class Options(Boosting, Asking):
    """The entry ``{kind: output, model: …}``."""

    PROMPT: ClassVar[Path] = Path(__file__).with_name("output.md")

    kind: Literal["output"]

    def _show(self, latent: LatentExamples, vocabulary: Vocabulary) -> list[str] | str:
        return shown.output(latent.facts, vocabulary) or MISSING
