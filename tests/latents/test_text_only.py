"""A store without the first columns of rows is that of the same activations with zeros there."""

from __future__ import annotations

import numpy as np
import pytest

from stages.latents.text_only import TextOnly, text_only
from tests.similarity.stores import MemoryStore, random_store

LENGTH, SKIPPED = 8, 2


def both() -> tuple[TextOnly, MemoryStore]:
    store = random_store(1, 7, 10 * LENGTH, 0.4)
    store.dense[:, ::LENGTH] *= 300  # an attention sink
    store = MemoryStore(store.dense)
    left = store.dense.copy()
    left.reshape(7, 10, LENGTH)[..., :SKIPPED] = 0
    left[3] = 0
    store.dense[3, np.arange(10 * LENGTH) % LENGTH >= SKIPPED] = 0  # fires nowhere else
    return TextOnly(MemoryStore(store.dense), LENGTH, SKIPPED), MemoryStore(left)  # type: ignore[arg-type]


def test_statistics_are_those_of_text() -> None:
    found, due = both()
    assert found.statistic("count").tolist() == due.statistic("count").tolist()
    for name in ("sum", "square_sum"):
        assert found.statistic(name) == pytest.approx(due.statistic(name), abs=1e-2)


def test_events_are_those_of_text() -> None:
    found, due = both()
    assert (found.csr().toarray() == due.dense).all()
    for latent in range(7):
        for a, b in zip(found.latent(latent), due.latent(latent), strict=True):
            assert a.tolist() == b.tolist()
    again = np.zeros_like(due.dense)
    for first, positions, values, offsets in found.scan(20):
        for i in range(len(offsets) - 1):
            part = slice(offsets[i], offsets[i + 1])
            again[first + i, positions[part]] = values[part]
    assert (again == due.dense).all()
    assert found.shape == due.shape


def test_where_nothing_is_left_out_the_store_is_itself() -> None:
    store = random_store(1, 2, 16)
    assert text_only(store, LENGTH, 0) is store  # type: ignore[arg-type, comparison-overlap]
