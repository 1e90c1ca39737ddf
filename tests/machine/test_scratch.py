from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from stages.errors import GlossaError
from stages.latents import runs
from stages.latents.events import BYTES_PER_EVENT, Collector
from stages.latents.merge import merge
from stages.latents.store import LatentStore
from stages.machine.scratch import Scratch
from tests.folders import tree
from tests.latents.events import ATTRIBUTES, dense_of, small_shards, write_store
from tests.latents.test_events import feed


@pytest.fixture(params=["folder", "memory"])
def scratch(request: pytest.FixtureRequest, tmp_path: Path) -> Scratch:
    return Scratch(str(tmp_path / "scratch") if request.param == "folder" else f"memory://{uuid4()}")


def test_a_store_is_the_same_wherever_its_runs_lay(scratch: Scratch, tmp_path: Path) -> None:
    dense = dense_of(5, 60, 0.4, 7)
    with small_shards():
        write_store(tmp_path / "plain", dense, 6, [4])
        for first, end in ((0, 4), (4, 10)):
            collector = Collector(scratch / "key", len(dense), 6, 23, 20 * BYTES_PER_EVENT)
            collector.begin(first)
            feed(collector, dense, 6, (first, end), 1)
            collector.end(end)
            collector.close()
        found = [runs.find(scratch / "key", *rows, 5) for rows in ((0, 4), (4, 10))]
        merge(
            [run for run in found if run],
            tmp_path / "store.zarr",
            10,
            6,
            ATTRIBUTES,
            {"top_tokens": np.arange(5)[:, None]},
        )
    assert tree(tmp_path / "store.zarr") == tree(tmp_path / "plain/store.zarr")
    (scratch / "key").remove()
    assert runs.find(scratch / "key", 0, 4, 5) is None
    (scratch / "key").remove()  # once more does no harm


def test_a_file_that_ends_early_is_an_error(scratch: Scratch) -> None:
    written = scratch.prepare() / "partial"
    written.write_bytes(b"12345678")
    scratch.put(written, "file")
    found = np.zeros(3, np.uint8)
    scratch.read("file", 2, found)
    assert found.tobytes() == b"345"
    assert scratch.size("file") == 8
    with pytest.raises(OSError, match="ends 1 bytes early"):
        scratch.read("file", 6, found)
    with pytest.raises(OSError, match=r"nothing|No such file"):
        scratch.read("nothing", 0, found)


def test_an_address_of_an_unknown_kind_is_a_mistake() -> None:
    with pytest.raises(
        GlossaError, match="runtime scratch should be an address that fsspec can open, but nowhere://x is not"
    ):
        Scratch("nowhere://x").size("y")


def test_a_store_opens_by_address(tmp_path: Path) -> None:
    dense = dense_of(5, 60, 0.4, 7)
    with small_shards():
        write_store(tmp_path, dense, 6)
    store = LatentStore.open(f"file://{tmp_path}/store.zarr")
    assert np.array_equal(store.csr().toarray(), dense)
    with pytest.raises(GlossaError, match="there is none"):
        LatentStore.open(f"file://{tmp_path}/other.zarr")
