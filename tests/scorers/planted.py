"""A corpus of words and a latent that fires on one of them, for scorers whose right answer is known."""

from collections.abc import Iterator, Sequence

import numpy as np

from stages.corpus.tokens import Vocabulary
from stages.examples.table import LatentExamples, Windows

WORDS = ["<end>", " cat", " dog", " sun", " sea", " on", " the", " a"]
SIZE = 8


def vocabulary() -> Vocabulary:
    special = np.zeros(len(WORDS), bool)
    special[0] = True
    return Vocabulary([word.encode() for word in WORDS], np.ones(len(WORDS), np.int64), special)


def windows(n: int, fires_on: int | None, first: int, seed: int) -> Windows:
    """Windows of random filler; with ``fires_on``, one token of it in each, on which the latent fires."""
    generator = np.random.default_rng(seed)
    filler = [token for token in range(3, len(WORDS)) if token != fires_on]
    tokens = generator.choice(filler, (n, SIZE)).astype(np.int32)
    activations = np.zeros((n, SIZE), np.float32)
    if fires_on is not None:
        columns = generator.integers(SIZE, size=n)
        tokens[np.arange(n), columns] = fires_on
        activations[np.arange(n), columns] = generator.uniform(1, 5, n)
    kinds: list[str | None] = [None if fires_on is not None else "random"] * n
    deciles = (np.arange(n) * 10 // n + 1).astype(np.int8) if fires_on is not None else np.zeros(n, np.int8)
    return Windows(np.arange(first, first + n), deciles, tokens, activations, kinds)


def latent(number: int, fires_on: int, n: int = 20) -> LatentExamples:
    facts = {
        "latent": number,
        "count": 3 * n,
        "n_windows": 2 * n,
        "mean": 2.0,
        "max": 5.0,
        "top_tokens": None,
        "top_values": None,
    }
    train, test = windows(n, fires_on, 0, number), windows(n, fires_on, n, number + 100)
    return LatentExamples(number, facts, train, test, windows(n, None, 2 * n, number + 200), rate=0.01)


class Sample(list[LatentExamples]):
    """Latents that can be read like a sample on disk."""

    def of(self, latents: Sequence[int]) -> Iterator[LatentExamples]:
        return (latent for latent in self if latent.latent in latents)
