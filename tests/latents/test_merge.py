from __future__ import annotations

from pathlib import Path

import anndata  # type: ignore[import-untyped]
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from stages.errors import GlossaError
from stages.latents import runs, spec
from stages.latents.merge import check_tiling, merge
from stages.latents.store import LatentStore
from stages.machine.scratch import Scratch
from tests.folders import tree
from tests.latents.events import ATTRIBUTES, dense_of, matrices, small_shards, write_run, write_store


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("merge")


def new_folder(base: Path) -> Path:
    folder = base / str(len(list(base.iterdir())))
    folder.mkdir()
    return folder


def check(store: LatentStore, dense: NDArray[np.float32]) -> None:
    expected = sparse.csr_array(dense)
    found = store.csr()
    assert found.shape == store.shape == dense.shape
    assert np.array_equal(found.indptr, expected.indptr)
    assert np.array_equal(found.indices, expected.indices)
    assert np.array_equal(found.data, expected.data)
    assert store.meta["n_events"] == expected.nnz


def check_statistics(store: LatentStore, dense: NDArray[np.float32]) -> None:
    wide = dense.astype(np.float64)
    assert store.statistic("count").tolist() == np.count_nonzero(dense, axis=1).tolist()
    assert store.statistic("max").tolist() == dense.max(axis=1).tolist()
    smallest = [row[row != 0].min() if row.any() else 0 for row in dense]
    assert store.statistic("min").tolist() == smallest
    assert np.allclose(store.statistic("sum"), wide.sum(axis=1), rtol=1e-12)
    assert np.allclose(store.statistic("square_sum"), (wide**2).sum(axis=1), rtol=1e-12)
    for row, found in zip(dense, store.statistic("histogram"), strict=True):
        live = row[row != 0].astype(np.float64)
        assert found.sum() == len(live)
        if len(live):  # NumPy closes its bars below and ours are closed above, so it counts the mirrored values
            mirrored = np.histogram(live.max() - live, spec.BINS, (0, live.max()))[0][::-1]
            assert np.array_equal(found, mirrored)


@settings(max_examples=25)
@given(matrices, st.lists(st.integers(1, 5), max_size=3), st.integers(1, 4), st.integers(1, 3))
def test_the_store_is_the_transpose_whatever_the_runs_and_shards(
    base: Path, matrix: tuple[NDArray[np.float32], int], cuts: list[int], chunk: int, per_shard: int
) -> None:
    dense, length = matrix
    with small_shards(chunk, per_shard):
        store = write_store(new_folder(base), dense, length, cuts)
        check(store, dense)
        check_statistics(store, dense)


def test_many_shards_and_latents_that_span_several(tmp_path: Path) -> None:
    dense = dense_of(4, 60, 0.3, 0)
    with small_shards(2, 2):
        store = write_store(tmp_path, dense, 6, [3, 4, 8])
    assert np.count_nonzero(dense[-1]) == 60 > 10 * 4  # the last latent fills more than ten shards
    shards = [file for file in (tmp_path / "store.zarr/activations/data").rglob("*") if file.name.isdigit()]
    assert len(shards) == -(-np.count_nonzero(dense) // 4)
    check(store, dense)
    check_statistics(store, dense)


@pytest.mark.parametrize("case", ["nothing fires", "one latent", "one event", "one always fires"])
def test_edges(tmp_path: Path, case: str) -> None:
    dense = np.zeros((1 if case == "one latent" else 4, 24), np.float32)
    match case:
        case "one latent":
            dense[0, ::3] = 2
        case "one event":
            dense[2, 23] = 0.5
        case "one always fires":
            dense[1] = np.arange(1, 25)
    with small_shards():
        store = write_store(tmp_path, dense, 4, [1, 5])
        check(store, dense)
        check_statistics(store, dense)


def test_the_histogram_by_hand(tmp_path: Path) -> None:
    dense = np.zeros((2, 8), np.float32)
    dense[1, :5] = [20, 1, 1.5, 2, 19.5]  # bars of width 1: (0, 1], (1, 2], … (19, 20]
    histogram = write_store(tmp_path, dense, 4).statistic("histogram")
    assert histogram[0].tolist() == [0] * 20
    assert histogram[1].tolist() == [1, 2, *[0] * 17, 2]


def test_the_bytes_depend_on_the_events_alone(tmp_path: Path) -> None:
    dense = dense_of(6, 60, 0.4, 3)
    with small_shards():
        for name, cuts in {"one": [], "again": [], "several": [1, 4, 7]}.items():
            write_store(tmp_path / name, dense, 6, cuts)
    found = [tree(tmp_path / name / "store.zarr") for name in ("one", "again", "several")]
    assert len(found[0]) > 20
    assert found[0] == found[1] == found[2]


def test_the_order_of_attributes_does_not_matter(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs", dense_of(2, 8, 0.5, 0), 0, 2, 4)
    for name, attributes in {"a": {"x": {"p": 1, "q": 2}, "y": 3}, "b": {"y": 3, "x": {"q": 2, "p": 1}}}.items():
        merge([run], tmp_path / name, 2, 4, attributes, {})
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_anndata_opens_it(tmp_path: Path) -> None:
    dense = dense_of(5, 60, 0.4, 4)
    with small_shards():
        write_store(tmp_path, dense, 6, [4])
        group = zarr.open_group(tmp_path / "store.zarr", mode="r")["activations"]
        lazy = anndata.io.sparse_dataset(group)
        assert lazy.shape == dense.shape
        assert np.array_equal(lazy[1:3].toarray(), dense[1:3])
        whole = anndata.io.read_elem(group)
    assert np.array_equal(whole.toarray(), dense)
    assert whole.has_sorted_indices


@pytest.mark.parametrize(("length", "dtype"), [(2**30, np.int32), (2**30 + 1, np.int64), (2**40, np.int64)])
def test_positions_beyond_an_int32_are_kept_as_int64(tmp_path: Path, length: int, dtype: type) -> None:
    """Two runs of one row each, whose events lie at the first positions of a row that is longer than memory."""
    values = np.array([1.0, 2.0, 3.0], np.float32)
    for row in range(2):
        runs.write(
            Scratch(str(tmp_path)),
            row,
            row + 1,
            8,
            2,
            np.array([0, 3, 7], np.int32),
            np.array([1, 0, 1], np.int32),
            values,
        )
    made = [runs.find(Scratch(str(tmp_path)), row, row + 1, 2) for row in range(2)]
    rows = 2 if length > 2**30 else 1
    merge([run for run in made if run][:rows], tmp_path / "store.zarr", rows, length, ATTRIBUTES, {})
    store = LatentStore.open(tmp_path / "store.zarr")
    positions, found = store.latent(1)
    assert positions.dtype == dtype
    assert positions.tolist() == [0, 7, length, length + 7][: 2 * rows]
    assert found.tolist() == [1.0, 3.0, 1.0, 3.0][: 2 * rows]
    assert store.shape == (2, rows * length)


def test_a_coder_wider_than_16_bits_can_number(tmp_path: Path) -> None:
    latents = np.array([0, 65_535, 65_536, 131_071], np.int32)
    folder, positions, values = Scratch(str(tmp_path)), np.arange(4, dtype=np.int32), np.arange(1, 5, dtype=np.float32)
    for row in range(2):
        runs.write(folder, row, row + 1, 4, 131_072, positions, latents, values)
    found = [runs.find(folder, row, row + 1, 131_072) for row in range(2)]
    merge([run for run in found if run], tmp_path / "store.zarr", 2, 4, ATTRIBUTES, {})
    store = LatentStore.open(tmp_path / "store.zarr")
    assert np.flatnonzero(store.statistic("count")).tolist() == latents.tolist()
    for place, latent in enumerate(latents.tolist()):
        at, fired = store.latent(latent)
        assert at.tolist() == [place, 4 + place]
        assert fired.tolist() == [place + 1] * 2


def test_runs_have_to_cover_every_row_once(tmp_path: Path) -> None:
    dense = dense_of(3, 24, 0.5, 0)
    first, second, third = (write_run(tmp_path, dense, i, i + 2, 4) for i in (0, 2, 4))
    other = write_run(tmp_path / "other", dense_of(4, 24, 0.5, 0), 2, 4, 4)
    check_tiling([first, second, third], 6)
    for wrong in ([first, third], [second, third], [first, first, second], [first, other, third], [second, first]):
        with pytest.raises(GlossaError, match=r"expected a run that starts at row \d, found run-.*; delete"):
            check_tiling(wrong, 6)
    for rest in ([first, second], []):
        with pytest.raises(GlossaError, match=r"expected runs up to row 6, but they end at row \d"):
            check_tiling(rest, 6)
