from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.errors import GlossaError
from stages.latents import runs
from stages.latents.runs import Run
from stages.machine.scratch import Scratch
from tests.latents.events import dense_of, matrices, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def events_of(run: Run, latent: int) -> tuple[np.ndarray, np.ndarray]:
    begin, end = run.offsets(latent, latent + 1)
    positions, values = np.empty(end - begin, np.int32), np.empty(end - begin, np.float32)
    run.read(begin, positions, values)
    return positions, values


def bytes_of(run: Run) -> bytes:
    assert run.folder.folder is not None
    return (run.folder.folder / run.name).read_bytes()


@settings(max_examples=30)
@given(matrices)
def test_a_run_holds_the_events_latent_by_latent(folder: Path, matrix: tuple[np.ndarray, int]) -> None:
    dense, length = matrix
    rows = dense.shape[1] // length
    written = write_run(folder, dense, 0, rows, length)
    found = runs.find(Scratch(str(folder)), 0, rows, len(dense))
    assert found == written
    assert found.n_events == np.count_nonzero(dense)
    for latent, values in enumerate(dense):
        positions, read = events_of(found, latent)
        assert positions.tolist() == np.flatnonzero(values).tolist()
        assert read.tolist() == values[values != 0].tolist()
        live = values[values != 0]
        extremes = (live.min(), live.max()) if len(live) else (np.inf, -np.inf)
        assert tuple(found.extremes()[:, latent]) == extremes


def test_positions_count_from_the_start_of_the_range(folder: Path) -> None:
    dense = np.zeros((1, 12), np.float32)
    dense[0, 7] = 5
    run = write_run(folder, dense, 1, 3, 4)
    assert events_of(run, 0)[0].tolist() == [3]
    assert run.name == "run-000000000001-000000000003.bin"


def test_what_was_asked_for_is_what_is_found(folder: Path) -> None:
    write_run(folder, dense_of(5, 8, 0.5, 0), 0, 2, 4)
    assert runs.find(Scratch(str(folder)), 0, 2, 5) is not None
    assert runs.find(Scratch(str(folder)), 0, 2, 6) is None  # another coder
    assert runs.find(Scratch(str(folder)), 0, 9, 5) is None
    assert runs.find(Scratch(str(folder / "nowhere")), 0, 2, 5) is None


def test_a_run_under_the_name_of_another_is_not_taken_for_it(folder: Path) -> None:
    run = write_run(folder, dense_of(5, 80, 0.5, 0), 10, 12, 4)
    (folder / run.name).rename(folder / runs.name_of(13, 15))
    assert runs.find(Scratch(str(folder)), 13, 15, 5) is None


@given(st.data())
def test_one_damaged_byte_is_enough_to_write_it_again(folder: Path, data: st.DataObject) -> None:
    run = write_run(folder, dense_of(3, 8, 0.5, 1), 0, 2, 4)
    raw = bytearray((folder / run.name).read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    (folder / run.name).write_bytes(raw)
    assert runs.find(Scratch(str(folder)), 0, 2, 3) is None


@pytest.mark.parametrize("keep", [0, 10, 511, 600, -1])
def test_a_cut_run_is_written_again(folder: Path, keep: int) -> None:
    run = write_run(folder, dense_of(3, 8, 0.5, 1), 0, 2, 4)
    (folder / run.name).write_bytes((folder / run.name).read_bytes()[:keep])
    assert runs.find(Scratch(str(folder)), 0, 2, 3) is None


def test_the_same_events_have_the_same_bytes_and_leave_nothing_beside(tmp_path: Path) -> None:
    dense = dense_of(5, 40, 0.3, 2)
    first = bytes_of(write_run(tmp_path, dense, 0, 10, 4))
    assert bytes_of(write_run(tmp_path, dense, 0, 10, 4)) == first
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("latent", [-1, 5, 1_000_000])
def test_a_latent_that_the_coder_does_not_have_is_refused(tmp_path: Path, latent: int) -> None:
    positions, latents = np.array([0, 1], np.int32), np.array([0, latent], np.int32)
    with pytest.raises(GlossaError, match="expected latents 0 to 4, but the coder returned"):
        runs.write(Scratch(str(tmp_path)), 0, 1, 4, 5, positions, latents, np.ones(2, np.float32))
    assert list(tmp_path.iterdir()) == []
