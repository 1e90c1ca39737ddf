"""Made-up corpora and activations in memory, and what is true of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages import params
from stages.corpus.tokens import Tokens, Vocabulary
from stages.examples.batches import Events
from stages.examples.sample import Sampled, sample

SHA = "0" * 64
VOCABULARY = 12
BOS = EOS = 0


@dataclass
class MemoryStore:
    """Offers what is read of a store, from a dense matrix [latents, positions]."""

    dense: NDArray[np.float32]
    path: Path = Path("memory.zarr")
    meta: dict[str, Any] = field(default_factory=lambda: {"tokens_sha256": SHA})

    def __post_init__(self) -> None:
        latents, self.positions = np.nonzero(self.dense)
        self.values = self.dense[latents, self.positions]
        self.indptr = np.searchsorted(latents, np.arange(len(self.dense) + 1))

    @property
    def shape(self) -> tuple[int, int]:
        return self.dense.shape

    def span(self, first: int, last: int) -> tuple[NDArray, NDArray[np.float32], NDArray[np.int64]]:
        begin, end = self.indptr[first], self.indptr[last]
        return (
            self.positions[begin:end].astype(np.int32),
            self.values[begin:end],
            self.indptr[first : last + 1] - begin,
        )

    def statistic(self, name: str) -> NDArray:
        wide = self.dense.astype(np.float64)
        found = {"count": np.count_nonzero(wide, axis=1), "max": wide.max(axis=1), "sum": wide.sum(axis=1)}
        return found[name] if name != "histogram" else np.ones((len(wide), 3), np.int64)

    def output(self, name: str) -> None:
        return None


def events_of(dense: NDArray[np.float32]) -> Events:
    """All rows of ``dense`` as one batch."""
    store = MemoryStore(dense)
    return Events(np.arange(len(dense)), store.indptr, store.positions.astype(np.int32), store.values)


def tokens_of(matrix: NDArray[np.int32], starts: NDArray[np.int64], bos: int | None = BOS) -> Tokens:
    """A corpus whose documents begin at these flat positions; token 0 is special."""
    special = np.zeros(VOCABULARY, bool)
    special[0] = True
    meta = {
        "rows": len(matrix),
        "context_length": matrix.shape[1],
        "tokens_sha256": SHA,
        "special_positions": int((matrix == 0).sum()),
        "bos": bos,
    }
    tokens = Tokens(Path("memory"), meta)
    spellings = [f" w{token}".encode() for token in range(VOCABULARY)]
    counts = np.bincount(matrix.ravel(), minlength=VOCABULARY)
    documents = pa.table({"name": [f"d{i}" for i in range(len(starts))], "start": pa.array(starts, pa.int64())})
    vars(tokens).update(matrix=matrix, documents=documents, vocabulary=Vocabulary(spellings, counts, special))
    return tokens


@dataclass
class World:
    """A corpus of rows that may begin with BOS, documents that end with EOS, and a coder's activations on it."""

    dense: NDArray[np.float32]
    tokens: Tokens
    document: NDArray[np.int64]
    """[positions] which document a token is of; -1 for BOS and EOS."""

    def sample(self, sampling: params.Sampling, seed: int = 0) -> tuple[Sampled, list[dict[str, Any]]]:
        """Returns what is sampled, and the rows of the windows table."""
        parts: list[pa.Table] = []
        store: Any = MemoryStore(self.dense)
        found = sample(store, self.tokens, sampling, seed, "one", parts.append)
        return found, pa.concat_tables(parts).to_pylist() if parts else []


def world(
    n_latents: int, rows: int, length: int, density: float, signed: bool, seed: int, has_bos: bool = True
) -> World:
    generator = np.random.default_rng(seed)
    matrix = generator.integers(1, VOCABULARY, (rows, length)).astype(np.int32)
    if has_bos:
        matrix[:, 0] = BOS
    flat = matrix.reshape(-1)
    is_text = np.arange(flat.size) % length >= has_bos
    ordinary = np.flatnonzero(is_text)
    is_end = generator.random(len(ordinary)) < 0.07
    is_end[1:] &= ~is_end[:-1]  # no document is empty
    is_end[0] = False
    flat[ordinary[is_end]] = EOS
    starts = np.concatenate([ordinary[:1], ordinary[1:][is_end[:-1]]])
    begins = np.zeros(flat.size, np.int64)
    begins[starts] = 1
    document = np.where(flat > 0, np.cumsum(begins) - 1, -1)
    values = generator.integers(1, 6, (n_latents, flat.size)).astype(np.float32)  # few, so that many tie
    if signed:
        values *= generator.choice([-1, 1], values.shape)
    share = generator.choice([0.02, density, 0.9], n_latents)[:, None]
    dense = np.where((generator.random(values.shape) < share) & (flat > 0), values, np.float32(0))
    return World(dense.astype(np.float32), tokens_of(matrix, starts, BOS if has_bos else None), document)


worlds = st.builds(
    world,
    st.integers(1, 6),
    st.integers(1, 12),
    st.sampled_from([8, 16, 24]),
    st.sampled_from([0.05, 0.3]),
    st.booleans(),
    st.integers(0, 10_000),
    st.booleans(),
)
counts = st.sampled_from([0, 1, 5])
negatives = st.fixed_dictionaries({"random": counts, "neighbour": counts, "semantic": counts, "surface": counts})
samplings = st.builds(
    lambda window, column, across, skip, strategy, n, validation, per_decile, kinds: params.Sampling.model_validate(
        {
            "latents": "all",
            "min_activations": 2,
            "window": window,
            "centre": None if column is None else column % window,
            "across_documents": across,
            "skip_first": skip,
            "train": {"strategy": strategy, "n": n, "negatives": kinds[0]},
            "validation": {"n": validation, "negatives": kinds[1]},
            "test": {"per_decile": per_decile, "negatives": kinds[2]},
        }
    ),
    st.sampled_from([4, 8]),
    st.none() | st.integers(0, 7),
    st.booleans(),
    st.sampled_from(["auto", "auto", 0, 1, 2, 5]),
    st.sampled_from(["quantile", "random", "top", "mix"]),
    st.sampled_from([1, 3, 10]),
    st.sampled_from([0, 2, 7]),
    st.sampled_from([1, 2]),
    st.tuples(negatives, negatives, negatives),
)


def fake_embedder() -> Any:
    """Embeds a text by the words in it, so that windows with the same words are near."""

    def encode(texts: list[str]) -> NDArray[np.float32]:
        words = [f"w{word}" for word in range(1, VOCABULARY)]
        counts = [[text.split().count(word) for word in words] for text in texts]
        vectors = np.array(counts, np.float32).reshape(len(texts), len(words))
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def stream(texts: list[str]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        yield texts, encode(texts)

    return SimpleNamespace(stream=stream, identity={"name": "fake", "sha256": "00"})
