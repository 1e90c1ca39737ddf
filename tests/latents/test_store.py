from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stages.errors import GlossaError
from stages.latents.store import LatentStore
from tests.latents.events import dense_of, small_shards, write_store

DENSE = dense_of(7, 60, 0.3, 5)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LatentStore:
    with small_shards():
        return write_store(tmp_path_factory.mktemp("store"), DENSE, 6, [3])


@pytest.mark.parametrize("latent", range(7))
def test_one_latent(store: LatentStore, latent: int) -> None:
    positions, values = store.latent(latent)
    assert positions.tolist() == np.flatnonzero(DENSE[latent]).tolist()
    assert values.tolist() == DENSE[latent, positions].tolist()


@pytest.mark.parametrize("events_at_once", [1, 10, 61, 10_000])
def test_a_scan_passes_every_latent_once_in_groups(store: LatentStore, events_at_once: int) -> None:
    rebuilt = np.zeros_like(DENSE)
    expected = 0
    for first, positions, values, offsets in store.scan(events_at_once):
        assert first == expected
        n = len(offsets) - 1
        assert len(positions) == len(values) == offsets[-1]
        assert n == 1 or len(positions) <= events_at_once
        rebuilt[first + np.repeat(np.arange(n), np.diff(offsets)), positions] = values
        expected += n
    assert expected == len(DENSE)
    assert np.array_equal(rebuilt, DENSE)


def test_what_latents_promote_is_there_or_not(store: LatentStore) -> None:
    found = store.output("top_tokens")
    assert found is not None
    assert found.ravel().tolist() == list(range(7))
    assert store.output("bottom_tokens") is None


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.zarr"
    with pytest.raises(
        GlossaError, match=f"expected a store of activations at {path}, but there is none; run dvc repro"
    ):
        LatentStore.open(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "but it is damaged: .*; run dvc repro"),
        (json.dumps({"zarr_format": 3, "node_type": "group"}), "found None version None; run dvc repro, or install"),
        (
            json.dumps(
                {"zarr_format": 3, "node_type": "group", "attributes": {"schema": "glossa/latents", "version": 9}}
            ),
            "expected glossa/latents version 1 at .*, found glossa/latents version 9",
        ),
    ],
)
def test_a_store_of_another_kind_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "zarr.json").write_text(text)
    with pytest.raises(GlossaError, match=expected):
        LatentStore.open(tmp_path)
