"""Examples as params.yaml asks for them, of latents that have none yet: as many windows as there can be, of made-up words.

A word is 4 bytes, which is about what a token of English is, so that requests made of them have about the right length.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages import params
from stages.corpus import tokens as corpus
from stages.corpus.tokens import Tokens, Vocabulary
from stages.examples.table import LatentExamples, Windows, latents_schema

WORDS = 4096
ROWS = 64
DECILES = 10


@contextmanager
def tokens(context_length: int) -> Iterator[Tokens]:
    """A small corpus of made-up words."""
    letters = "abcdefghijklmnop"
    spellings = [f" {a}{b}{c}".encode() for a in letters for b in letters for c in letters]
    generator = np.random.default_rng(0)
    matrix = generator.integers(0, WORDS, (ROWS, context_length), dtype=np.int32)
    documents = pa.table({"name": ["imagined"], "start": [0], "n_tokens": [matrix.size]})
    counts = np.bincount(matrix.reshape(-1), minlength=WORDS).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Vocabulary(spellings, counts, np.zeros(WORDS, np.bool_))
        corpus.write(Path(folder) / "tokens", matrix, documents, vocabulary, {})
        yield Tokens.open(Path(folder) / "tokens")


class Imagined:
    """Examples of any latents."""

    def __init__(self, sampling: params.Sampling, tokens: Tokens):
        self._sampling, self._tokens = sampling, tokens
        self._generator = np.random.default_rng(0)

    def of(self, latents: Sequence[int]) -> Iterator[LatentExamples]:
        """Yields those latents, in increasing order."""
        sampling = self._sampling
        for latent in sorted(latents):
            yield LatentExamples(
                latent,
                {
                    **{field.name: _fact(field.type) for field in latents_schema()},
                    "latent": latent,
                    "dropped": None,
                    "n_negatives": dict(sampling.test.negatives),
                },
                self._firing(sampling.train.n),
                self._firing(DECILES * sampling.test.per_decile),
                self._silent(sampling.test.negatives),
                self._firing(sampling.validation.n),
                self._silent(sampling.validation.negatives),
                self._silent(sampling.train.negatives),
            )

    def _firing(self, n: int) -> Windows:
        """Windows that fire on every fourth token."""
        windows = self._windows(["train"] * n)
        activations = np.zeros(windows.tokens.shape, np.float32)
        activations[:, ::4] = 1
        deciles = (np.arange(n) * DECILES // max(1, n) + 1).astype(np.int8)
        return Windows(windows.starts, deciles, windows.tokens, activations, [None] * n)

    def _silent(self, negatives: Mapping[str, int]) -> Windows:
        return self._windows([kind for kind, n in negatives.items() for _ in range(n)])

    def _windows(self, kinds: list[str | None] | list[str]) -> Windows:
        length, flat = self._sampling.window, self._tokens.matrix.reshape(-1)
        starts = self._generator.integers(0, len(flat) - length, len(kinds))
        taken = flat[starts[:, None] + np.arange(length)]
        return Windows(starts, np.zeros(len(kinds), np.int8), taken, np.zeros(taken.shape, np.float32), list(kinds))


def _fact(kind: pa.DataType) -> Any:
    """A value of a column of the latents table."""
    if pa.types.is_list(kind):
        return [_fact(kind.value_type)] * 10
    return 1 if pa.types.is_integer(kind) else 1.0 if pa.types.is_floating(kind) else None
