"""``none``: explains nothing, for scorers that need no explanation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from stages.corpus.tokens import Tokens
from stages.examples.table import LatentExamples
from stages.explainers import Explainer
from stages.explainers.table import Explanation


class Options(Explainer):
    """The entry ``{kind: none}``."""

    kind: Literal["none"]

    def explain(self, latents: Iterable[LatentExamples], tokens: Tokens) -> Iterator[Explanation]:
        """Yields the same reason for every latent."""
        for latent in latents:
            yield Explanation(latent.latent, None, "no explanation was asked for", {})
