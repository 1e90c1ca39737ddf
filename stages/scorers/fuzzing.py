"""``fuzzing``: does the judge know marks on firing tokens from marks on others (arXiv 2410.13928, §3.3.2)?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages import llm
from stages.corpus.tokens import Vocabulary
from stages.params import Section
from stages.scorers import Item, Scored, classifier
from stages.scorers.shown import Example

PROMPT = Path(__file__).with_name("fuzzing.md")
OPEN, CLOSE = "\u00ab", "\u00bb"
_EDGE = {0: b"", 1: b"\xfe", -1: b"\xff"}
"""Stands for a mark until those of the corpus are out of the way; UTF-8 holds neither byte."""


class Options(Section):
    """The entry ``{kind: fuzzing, model: …}``."""

    kind: Literal["fuzzing"]
    model: dict[str, Any]
    examples_per_prompt: Annotated[int, Field(ge=1, le=20)] = 5
    latents: Annotated[int, Field(ge=1)] | None = None
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.3
    """A token is marked from this share of its window's maximum on."""

    def score(self, items: list[Item], vocabulary: Vocabulary, seed: int) -> Scored:
        """Shows test windows with the firing tokens marked, and silent windows marked like a test window of the latent.

        A silent window takes the marks of a random test window, so that their number, length and place tell nothing.
        """

        def examples_of(item: Item, generator: np.random.Generator) -> list[Example]:
            return windows(item, vocabulary, self.threshold, generator)

        model = llm.load("model", self.model)
        return classifier.score(items, examples_of, PROMPT.read_text("utf-8"), model, self.examples_per_prompt, seed)


def windows(item: Item, vocabulary: Vocabulary, threshold: float, generator: np.random.Generator) -> list[Example]:
    """The marked windows of a latent; a silent window on which no mark can be put is left out."""
    test, negative = item.examples.test, item.examples.negative
    marks = (test.activations >= threshold * test.activations.max(axis=1, keepdims=True)) & (test.activations > 0)
    found = []
    for place in range(len(test)):
        text = marked(test.tokens[place], marks[place], vocabulary)
        found.append(Example(text, int(test.starts[place]), "test", None, int(test.deciles[place]), True))
    for place in range(len(negative)):
        ordinary = ~vocabulary.special[negative.tokens[place]]
        fitting = marks & ordinary
        usable = np.flatnonzero(fitting.any(axis=1))
        if len(usable):
            mask = fitting[generator.choice(usable)]
            text = marked(negative.tokens[place], mask, vocabulary)
            found.append(Example(text, int(negative.starts[place]), "negative", negative.kinds[place], 0, False))
    return found


def marked(tokens: NDArray[np.int32], mask: NDArray[np.bool_], vocabulary: Vocabulary) -> str:
    """The text of a window with every run of marked tokens between « and »."""
    edges = np.diff(mask.astype(np.int8), prepend=0, append=0)
    pieces = [*vocabulary.pieces(tokens), b""]
    joined = b"".join(_EDGE[edge] + piece for edge, piece in zip(edges.tolist(), pieces, strict=True))
    for ours, other in ((OPEN, "\u2039"), (CLOSE, "\u203a")):
        joined = joined.replace(ours.encode(), other.encode())
    joined = joined.replace(_EDGE[1], OPEN.encode()).replace(_EDGE[-1], CLOSE.encode())
    return joined.decode("utf-8", errors="replace")
