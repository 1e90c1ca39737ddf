"""``detection``: does the judge find the windows in which the latent fires (arXiv 2410.13928, §3.3.1)?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from stages import llm
from stages.params import Section
from stages.scorers import Context, Item, Scored, classifier
from stages.scorers.shown import Example, windows

PROMPT = Path(__file__).with_name("detection.md")


class Options(Section):
    """The entry ``{kind: detection, model: …}``."""

    kind: Literal["detection"]
    model: dict[str, Any]
    examples_per_prompt: Annotated[int, Field(ge=1, le=20)] = 5
    latents: Annotated[int, Field(ge=1)] | None = None

    def score(self, items: list[Item], context: Context) -> Scored:
        """Shows whole windows without marks; a window counts as active when the latent fires anywhere in it."""

        def examples_of(item: Item, generator: np.random.Generator) -> list[Example]:
            return windows(item, context.vocabulary)

        model = llm.load("model", self.model)
        return classifier.score(
            items, examples_of, PROMPT.read_text("utf-8"), model, self.examples_per_prompt, context.seed
        )
