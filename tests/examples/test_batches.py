from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.examples import batches as module
from stages.examples.batches import batches
from tests.examples.made import MemoryStore
from tests.latents.events import dense_of, small_shards, write_store


@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 5), st.integers(0, 30), st.data())
def test_every_latent_comes_once_with_its_events(
    seed: int, events: int, latents: int, gap: int, data: st.DataObject
) -> None:
    dense = dense_of(8, 30, 0.3, seed)
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, 7)))), np.int64)
    with mock.patch.multiple(module, EVENTS=events, LATENTS=latents, GAP=gap):
        found = list(batches(MemoryStore(dense), chosen))  # type: ignore[arg-type]
    assert np.concatenate([chosen[:0], *(batch.latents for batch in found)]).tolist() == chosen.tolist()
    for batch in found:
        assert 1 <= len(batch.latents) <= latents
        assert len(batch.latents) == 1 or batch.bounds[-1] <= events
        for place, latent in enumerate(batch.latents.tolist()):
            part = slice(batch.bounds[place], batch.bounds[place + 1])
            assert batch.positions[part].tolist() == np.flatnonzero(dense[latent]).tolist()
            assert batch.values[part].tolist() == dense[latent][dense[latent] != 0].tolist()


@pytest.mark.parametrize("gap", [0, 1000])
def test_from_a_store_on_disk(tmp_path: Path, gap: int) -> None:
    dense = dense_of(9, 120, 0.2, 0)
    with small_shards():
        store = write_store(tmp_path, dense, 10)
        with mock.patch.object(module, "GAP", gap):
            (found,) = batches(store, np.array([1, 2, 5, 8]))
    assert np.diff(found.bounds).tolist() == np.count_nonzero(dense[[1, 2, 5, 8]], axis=1).tolist()
    assert found.values.tolist() == dense[[1, 2, 5, 8]][dense[[1, 2, 5, 8]] != 0].tolist()
