"""``fuzzing``: does the judge know marks on firing tokens from marks on others (arXiv 2410.13928, §3.3.2)?"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from stages import prompts
from stages.corpus.tokens import Vocabulary
from stages.scorers import Context, Item, Judging
from stages.scorers.classifier import Classifier
from stages.scorers.marking import like, masks_of, moved, shown
from stages.scorers.shown import Example

PROMPT = Path(__file__).with_name("fuzzing.md")
MISMARKED = "mismarked"

READS = ("sampling.centre",)
"""Of params.yaml, beside its own entry."""


class Options(Classifier):
    """The entry ``{kind: fuzzing, model: …}``."""

    kind: Literal["fuzzing"]
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.3
    """A token is marked from this share of its window's maximum on."""
    mismarked: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    """The share of the test windows that are marked wrongly and so are negatives, instead of positives."""

    def judge(self, items: Collection[Item], context: Context) -> Judging:
        """Shows test windows marked rightly, others marked wrongly, and silent windows marked like a test window.

        Where windows are centred on a firing token none is marked wrongly, as marks elsewhere would give themselves away.
        """
        is_centred = context.p is not None and context.p.sampling.centre is not None
        wrong = 0.0 if is_centred else self.mismarked

        def examples_of(item: Item, generator: np.random.Generator) -> list[Example]:
            return windows(item, context.vocabulary, self.threshold, wrong, generator)

        facts = yield from self.judge_by(items, examples_of, prompts.read(self.prompt, PROMPT, ["JSON"]), context.seed)
        return facts | {MISMARKED: wrong}


def windows(
    item: Item, vocabulary: Vocabulary, threshold: float, mismarked: float, generator: np.random.Generator
) -> list[Example]:
    """The marked windows of a latent.

    A window that is marked wrongly has as many runs of marks as are right, of the same lengths, elsewhere: on tokens on which the
    latent is silent. No window is shown twice. A silent window has the marks of a test window chosen at random. So neither
    number, length nor place of the marks tells a label. A silent window on which no mark can be put is left out.
    """
    test, negative = item.examples.test, item.examples.negative
    units, silent = shown(test, vocabulary), shown(negative, vocabulary)
    masks = masks_of(units, threshold)
    free = (units.activations == 0) & ~units.special & units.there
    marks, right = masks.copy(), np.ones(len(test), bool)
    left = round(mismarked * len(test))
    for place in generator.permutation(len(test)).tolist():
        if not left:
            break
        other = moved(masks[place], free[place], generator)
        if other is not None:
            marks[place], right[place] = other, False
            left -= 1
    columns = (units.marked(marks), test.starts.tolist(), test.deciles.tolist(), right.tolist())
    found = [
        Example(text, start, "test", None if is_right else MISMARKED, decile, is_right)
        for text, start, decile, is_right in zip(*columns, strict=True)
    ]
    there, borrowed = like(masks, silent, generator)
    texts = silent.chosen(there).marked(borrowed)
    for place, text in zip(there.tolist(), texts, strict=True):
        found.append(Example(text, int(negative.starts[place]), "negative", negative.kinds[place], 0, False))
    return found
