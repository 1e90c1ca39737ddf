"""What each kind of negatives is, on a corpus and a coder made to tell them apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from stages import params
from stages.examples.grid import grid
from stages.examples.negatives import neighbour, semantic
from tests.examples.made import World, fake_embedder, tokens_of, world

WINDOW, LENGTH = 8, 24
N_BLOCKS = 60


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.embeddings.embedder.load", lambda name, device: fake_embedder())


def made(matrix: np.ndarray, fires: list[np.ndarray]) -> World:
    """A corpus of blocks in which latents fire with strength 1, 2, … on these positions."""
    dense = np.zeros((len(fires), matrix.size), np.float32)
    for latent, positions in enumerate(fires):
        dense[latent, positions] = np.arange(len(positions), 0, -1)
    tokens = tokens_of(matrix.reshape(-1, LENGTH).astype(np.int32), np.array([0]))
    return World(dense, tokens, np.zeros(matrix.size, np.int64))


def blocks(here: World, kind: str, n: int, latent: int = 0, **options: Any) -> list[int]:
    """The blocks of the negatives of ``kind`` that a latent gets."""
    values = {"latents": [latent], "min_activations": 1, "window": WINDOW, "train": {"n": 4}}
    values |= {"test": {"per_decile": 1, "negatives": {"random": 0, kind: n}}}
    found, rows = here.sample(params.Sampling.model_validate(values | options))
    assert found.facts["negatives"].keys() == {kind}
    return [row["start"] // WINDOW for row in rows if row["kind"] == kind]


def test_neighbours_fire_in_their_windows_and_this_latent_does_not() -> None:
    matrix = np.ones((N_BLOCKS, WINDOW), np.int64)
    first = np.arange(N_BLOCKS) * WINDOW
    # Latent 0 fires at the start of blocks 0 to 9; 1 there and in 10 to 19; 2 next to it, never on the same token; 3 elsewhere.
    fires = [first[:10], first[:20], first[:30] + 1, first[40:]]
    here = made(matrix, fires)
    assert blocks(here, "neighbour", 100) == list(range(10, 20))
    assert blocks(here, "neighbour", 3) == [10, 11, 12]  # the strongest of its windows
    assert blocks(here, "neighbour", 5, latent=3) == []
    assert blocks(here, "neighbour", 5, latent=1) == []  # the one that is close fires nowhere else


def test_neighbours_take_turns() -> None:
    matrix = np.ones((N_BLOCKS, WINDOW), np.int64)
    first = np.arange(N_BLOCKS) * WINDOW
    near, far = np.concatenate([first[:10], first[20:30]]), np.concatenate([first[:5], first[30:50]])
    here = made(matrix, [first[:10], near, far])
    with mock.patch.multiple(neighbour, NEIGHBOURS=2, STRONGEST=20):
        found = blocks(here, "neighbour", 5)
    assert Counter("near" if 20 <= block < 30 else "far" for block in found) == {"near": 3, "far": 2}


def test_surface_windows_hold_the_token_on_which_the_latent_fires_most() -> None:
    generator = np.random.default_rng(0)
    matrix = generator.integers(3, 9, (N_BLOCKS, WINDOW))
    matrix[:40, 2] = 1  # the token; the latent fires on it in the first ten blocks only …
    matrix[:3, 5] = 2  # … and weakly on another
    here = made(matrix, [np.arange(10) * WINDOW + 2])
    here.dense[0, np.arange(3) * WINDOW + 5] = 0.25
    found = blocks(here, "surface", 12)
    assert len(found) == 12
    assert set(found) < set(range(10, 40))
    assert blocks(here, "surface", 99) == list(range(10, 40))


def test_a_token_that_only_stands_where_the_latent_fires_gives_none() -> None:
    matrix = np.full((N_BLOCKS, WINDOW), 3)
    matrix[:10, 2] = 1
    assert blocks(made(matrix, [np.arange(10) * WINDOW + 2]), "surface", 5) == []


def test_semantic_windows_are_the_nearest_to_those_in_which_the_latent_fires() -> None:
    generator = np.random.default_rng(0)
    matrix = generator.integers(6, 9, (N_BLOCKS, WINDOW))
    matrix[:12] = generator.integers(1, 3, (12, WINDOW))  # one subject: in half of these blocks the latent fires …
    matrix[6:12, 0] = 5
    matrix[20:26] = 4  # … and of this one in a single block of six
    here = made(matrix, [np.array([0, 1, 2, 3, 4, 5, 20]) * WINDOW])
    assert blocks(here, "semantic", 11) == [*range(6, 12), *range(21, 26)]
    assert set(blocks(here, "semantic", 8)) < {*range(6, 12), *range(21, 26)}
    assert set(blocks(here, "semantic", 5)) == set(range(21, 26))  # the same text is nearest


def test_a_large_corpus_is_embedded_in_part() -> None:
    here = world(3, 40, LENGTH, 0.3, signed=False, seed=3)
    cut = grid(here.tokens, WINDOW, across_documents=False)
    assert cut.blocks is not None
    assert np.array_equal(semantic.choose_pool(cut, 0), cut.blocks)
    with mock.patch.object(semantic, "POOL", 20):
        pool = semantic.choose_pool(cut, 0)
        assert len(pool) == len(set(pool.tolist()) & set(cut.blocks.tolist())) == 20
        assert np.array_equal(pool, np.sort(pool))
        assert not np.array_equal(pool, semantic.choose_pool(cut, 1))
        values: Any = {"latents": "all", "min_activations": 1, "window": WINDOW, "across_documents": False}
        values |= {"train": {"n": 4}, "test": {"per_decile": 1, "negatives": {"random": 0, "semantic": 3}}}
        found, rows = here.sample(params.Sampling.model_validate(values))
    assert found.facts["negatives"] == {
        "semantic": {"embedder": {"name": "fake", "sha256": "00"}, "windows_embedded": 20}
    }
    silent = {row["start"] // WINDOW for row in rows if row["kind"]}
    assert silent
    assert silent <= set(pool.tolist())


def test_nearness_is_exact_so_that_nothing_but_the_texts_decides_it() -> None:
    """The longest vectors that rounding can give, and their partial sums, stay whole numbers in float32."""
    for width in (384, 4096):
        longest = semantic.SCALE + width**0.5 / 2
        assert longest**2 < 2**24


def test_a_latent_without_a_window_in_the_pool_gets_none() -> None:
    matrix = np.random.default_rng(0).integers(1, 9, (N_BLOCKS, WINDOW))
    here = made(matrix, [np.array([50, 51]) * WINDOW])
    with mock.patch.object(semantic, "choose_pool", return_value=np.arange(10)):
        assert blocks(here, "semantic", 5) == []
        assert len(blocks(replace(here, dense=np.roll(here.dense, -45 * WINDOW)), "semantic", 5)) == 5
