"""``contrastive``: as ``default``, with texts beside on which the latent is silent, which the explanation must not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from stages.corpus.tokens import Tokens, Vocabulary
from stages.errors import GlossaError
from stages.examples.table import LatentExamples
from stages.explainers import shown
from stages.explainers.asking import AskingOfTexts
from stages.explainers.table import Explanation

ALONE = "there is no silent window to contrast with"


class Options(AskingOfTexts):
    """The entry ``{kind: contrastive, model: …}``; needs ``sampling.train.negatives``, which no scorer is shown."""

    PROMPT: ClassVar[Path] = Path(__file__).with_name("contrastive.md")

    kind: Literal["contrastive"]

    silent: Annotated[int, Field(ge=1)] | None = None
    """How many silent windows are shown at most; all of the train side when None."""

    def explain(self, latents: Iterable[LatentExamples], tokens: Tokens) -> Iterator[Explanation]:
        """Yields what the model says of every latent, or the reason why it says nothing.

        Raises:
            GlossaError: no latent has a silent window on the train side.
        """
        alone = [True]
        for found in super().explain(latents, tokens):
            alone.append(found.reason == ALONE)
            yield found
        if len(alone) > 1 and all(alone):
            raise GlossaError(
                "explainers of kind contrastive need windows in which a latent is silent, but the sample has none for "
                "training; add negatives, such as {random: 10}, to sampling.train in params.yaml"
            )

    def _show(self, latent: LatentExamples, vocabulary: Vocabulary) -> list[str] | str:
        lines = super()._show(latent, vocabulary)
        if isinstance(lines, str):
            return lines
        if not len(latent.train_negative):
            return ALONE
        places = shown.spread(len(latent.train_negative), self.silent)
        return [*lines, *shown.silent(latent.train_negative, places, vocabulary)]
