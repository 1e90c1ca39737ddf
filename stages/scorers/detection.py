"""``detection``: does the judge find the windows in which the latent fires (arXiv 2410.13928, §3.3.1)?"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal

import numpy as np

from stages import prompts
from stages.scorers import Context, Item, Judging
from stages.scorers.classifier import Classifier
from stages.scorers.shown import Example, windows

PROMPT = Path(__file__).with_name("detection.md")


class Options(Classifier):
    """The entry ``{kind: detection, model: …}``."""

    kind: Literal["detection"]

    def judge(self, items: Collection[Item], context: Context) -> Judging:
        """Shows whole windows without marks; a window counts as active when the latent fires anywhere in it."""

        def examples_of(item: Item, generator: np.random.Generator) -> list[Example]:
            return windows(item, context.vocabulary)

        return self.judge_by(items, examples_of, prompts.read(self.prompt, PROMPT, ["JSON"]), context.seed)
