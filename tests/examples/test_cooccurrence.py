from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.examples import batches, cooccurrence
from stages.examples.cooccurrence import neighbours
from tests.examples.made import MemoryStore
from tests.latents.events import dense_of


@given(st.integers(0, 1000), st.integers(1, 4), st.sampled_from([1, 3]), st.integers(1, 3))
def test_neighbours_are_those_of_the_largest_cosine(seed: int, n: int, stride: int, rows: int) -> None:
    dense = dense_of(6, 240, 0.2, seed)
    latents = np.array([1, 2, 5])
    store: MemoryStore = MemoryStore(dense)
    events = -(-len(store.values) // stride)
    with (
        mock.patch.multiple(cooccurrence, EVENTS=events, ROWS=rows),
        mock.patch.multiple(batches, EVENTS=50, LATENTS=2),
    ):
        found, used = neighbours(store, latents, n)  # type: ignore[arg-type]
    assert used == stride
    fires = (dense[:, stride // 2 :: stride] != 0).astype(np.float64)
    together = fires @ fires.T
    for row, latent in zip(found.tolist(), latents.tolist(), strict=True):
        lengths = np.sqrt(fires.sum(axis=1))
        cosines = {
            other: np.float32(together[latent, other] / (lengths[latent] * lengths[other]))
            for other in range(6)
            if other != latent and together[latent, other] >= 2
        }
        expected = sorted(cosines, key=lambda other: (-cosines[other], other))[:n]
        got = [other for other in row if other >= 0]
        assert [cosines[other] for other in got] == pytest.approx([cosines[other] for other in expected])
        assert len(row) == n


def test_ties_go_to_the_lower_latent_and_one_shared_token_is_chance() -> None:
    dense = np.zeros((5, 9), np.float32)
    dense[:3, :4] = 1  # 0, 1 and 2 alike
    dense[3, [0, 8]] = 1  # shares one token with them
    found, stride = neighbours(MemoryStore(dense), np.array([0, 3, 4]), 3)  # type: ignore[arg-type]
    assert stride == 1
    assert found.tolist() == [[1, 2, -1], [-1, -1, -1], [-1, -1, -1]]


def test_nothing_ever_fires() -> None:
    found, _ = neighbours(MemoryStore(np.zeros((3, 8), np.float32)), np.array([0, 2]), 2)  # type: ignore[arg-type]
    assert found.tolist() == [[-1, -1], [-1, -1]]
