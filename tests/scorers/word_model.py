"""A language model whose tokens are words, and scorers that ask it: what they compute can be said in advance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stages import scorers
from stages.examples.table import LatentExamples
from stages.scorers import Context, Item
from stages.scorers.table import OWN, SHUFFLED
from tests.scorers import planted


class WordModel:
    """Knows words and remembers what it read; how likely they are to it, others say."""

    name, limit, endpoint = "reader", None, "transformers:reader"

    def __init__(self) -> None:
        self.words: list[str] = []
        self.read: list[tuple[str, int]] = []

    def local(self) -> WordModel:
        return self

    def head(self, text: str) -> list[int]:
        return self.after("", text)

    def after(self, before: str, text: str) -> list[int]:
        words = self.split(text)
        self.words += [word for word in dict.fromkeys(words) if word not in self.words]
        return [self.words.index(word) for word in words]

    def split(self, text: str) -> Sequence[str]:
        return text.split(" ")


def load(kind: str, model: str = "m", **options: Any) -> Any:
    return scorers.load("x", {"kind": kind, "model": {"provider": "transformers", "model": model}, **options})


def run(kind: str, *texts: str, examples: LatentExamples | None = None, **options: Any) -> scorers.Scored:
    """What the scorer makes of a latent's own explanation and, if there are two texts, of another latent's."""
    examples = examples or planted.latent(7, 1)
    items = [Item(examples, text, control) for text, control in zip(texts, (OWN, SHUFFLED), strict=False)]
    return load(kind, **options).score(items, Context(planted.vocabulary(), 0))
