from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BloscCodec

from stages.vector import LEVEL, Vector
from tests.folders import tree


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vector")


def write(folder: Path, values: np.ndarray, chunk: int, per_shard: int) -> zarr.Array:
    codec = BloscCodec(typesize=values.dtype.itemsize, cname="lz4", clevel=LEVEL, shuffle="bitshuffle")
    array = zarr.create_array(folder, shape=values.shape, dtype=values.dtype, chunks=(chunk,), shards=(chunk * per_shard,), compressors=codec)  # fmt: skip
    array[:] = values
    return array


@given(
    st.integers(0, 40),
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from(["int32", "int64", "float32"]),
    st.integers(-3, 45),
    st.integers(-3, 45),
)
def test_it_reads_what_zarr_reads(
    base: Path, length: int, chunk: int, per_shard: int, dtype: str, begin: int, end: int
) -> None:
    generator = np.random.default_rng(length)
    values = (generator.integers(-9, 9, length) * (np.arange(length) % 11 > 4)).astype(dtype)  # whole chunks of zeros
    folder = base / str(len(list(base.iterdir())))
    array = write(folder, values, chunk, per_shard)
    found = Vector.open(folder)[begin:end]
    assert found.dtype == array.dtype
    assert found.tolist() == values[begin:end].tolist() == np.asarray(array[begin:end]).tolist()


@given(st.integers(0, 20), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_it_reads_a_matrix_row_by_row(base: Path, rows: int, width: int, chunk: int, per_shard: int) -> None:
    values = np.random.default_rng(rows).integers(-9, 9, (rows, width)).astype("int32")
    folder = base / str(len(list(base.iterdir())))
    codec = BloscCodec(typesize=4, cname="zstd", clevel=3, shuffle="bitshuffle")
    array = zarr.create_array(folder, shape=values.shape, dtype="int32", chunks=(chunk, width), shards=(chunk * per_shard, width), compressors=codec)  # fmt: skip
    array[:] = values
    assert Vector.open(folder)[:].reshape(values.shape).tolist() == values.tolist()


def test_chunks_that_cut_rows_are_refused(tmp_path: Path) -> None:
    zarr.create_array(
        tmp_path / "cut", shape=(4, 4), dtype="int32", chunks=(2, 2), shards=(4, 4), compressors=BloscCodec()
    )
    with pytest.raises(ValueError, match=r"expected whole rows in every chunk of .*, found chunks of \(2, 2\)"):
        Vector.open(tmp_path / "cut")


@given(
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from(["int32", "int64", "float32"]),
    st.booleans(),
)
def test_it_writes_the_bytes_that_zarr_writes(
    base: Path, length: int, chunk: int, per_shard: int, dtype: str, zeros: bool
) -> None:
    values = np.random.default_rng(length).integers(1, 9, length).astype(dtype) * (not zeros)
    folders = [base / f"{len(list(base.iterdir()))}-{name}" for name in ("zarr", "ours")]
    with zarr.config.set({"array.write_empty_chunks": True}):
        write(folders[0], values, chunk, per_shard)
    write(folders[1], values[:0], chunk, per_shard)
    shutil.copy(folders[0] / "zarr.json", folders[1] / "zarr.json")
    ours, shard = Vector.open(folders[1]), chunk * per_shard
    for number in range(-(-length // shard)):
        ours.write_shard(number, values[number * shard : (number + 1) * shard])
    assert tree(folders[1]) == tree(folders[0])


def test_an_index_that_changed_is_damage(tmp_path: Path) -> None:
    write(tmp_path, np.arange(1, 9, dtype=np.int32), 2, 4)
    shard = tmp_path / "c/0"
    raw = bytearray(shard.read_bytes())
    raw[-30] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(ValueError, match=r"the index of .* is damaged"):
        Vector.open(tmp_path)[0:1]


def test_an_array_of_another_kind_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path, shape=(4,), dtype="int32", chunks=(2,))
    with pytest.raises(ValueError, match="expected shards of Blosc chunks"):
        Vector.open(tmp_path)
