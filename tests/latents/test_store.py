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
            "expected glossa/latents version 2 at .*, found glossa/latents version 9",
        ),
    ],
)
def test_a_store_of_another_kind_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "zarr.json").write_text(text)
    with pytest.raises(GlossaError, match=expected):
        LatentStore.open(tmp_path)


def shards(folder: Path) -> list[Path]:
    return sorted(file for file in (folder / "store.zarr/activations").rglob("*") if file.name.isdigit())


@pytest.mark.parametrize("damage", ["cut", "removed", "emptied"])
def test_a_store_cut_short_on_disk_is_refused(tmp_path: Path, damage: str) -> None:
    with small_shards():
        write_store(tmp_path, DENSE, 6)
    last = shards(tmp_path)[-1]
    size = last.stat().st_size
    if damage == "removed":
        last.unlink()
    else:
        last.write_bytes(last.read_bytes()[: 5 if damage == "cut" else 0])
    found = {"cut": 5, "removed": 0, "emptied": 0}[damage]
    with pytest.raises(GlossaError, match=rf"expected {size:,} bytes in .*, found {found:,}; the store is cut short"):
        LatentStore.open(tmp_path / "store.zarr")


def test_a_store_that_was_not_finished_is_none(tmp_path: Path) -> None:
    with small_shards():
        write_store(tmp_path, DENSE, 6)
    meta = tmp_path / "store.zarr/zarr.json"
    content = json.loads(meta.read_text())
    content["attributes"] = {}  # they are written last
    meta.write_text(json.dumps(content))
    with pytest.raises(GlossaError, match="found None version None"):
        LatentStore.open(tmp_path / "store.zarr")


def test_bytes_that_changed_in_place_are_damage_or_at_least_no_crash(tmp_path: Path) -> None:
    with small_shards():
        write_store(tmp_path, DENSE, 6)
    for shard in shards(tmp_path):
        raw = bytearray(shard.read_bytes())
        raw[-6] ^= 0xFF  # in the checked index of the shard
        shard.write_bytes(raw)
    with pytest.raises(GlossaError, match="but it is damaged"):
        LatentStore.open(tmp_path / "store.zarr").csr()


def test_signed_activations(tmp_path: Path) -> None:
    dense = np.zeros((2, 8), np.float32)
    dense[1, :5] = [-10, 10, -9.5, 0.5, -0.5]
    store = write_store(tmp_path, dense, 4)
    assert np.array_equal(store.csr().toarray(), dense)
    assert (store.statistic("min").tolist(), store.statistic("max").tolist()) == ([0, -10], [0, 10])
    assert store.statistic("sum")[1] == pytest.approx(-9.5)
    histogram = store.statistic("histogram")[
        1
    ]  # bars of width 1 from -10: (-10, -9] … (9, 10]; -10 itself in the first
    assert (histogram[0], histogram[9], histogram[10], histogram[19], histogram.sum()) == (2, 1, 1, 1, 5)
