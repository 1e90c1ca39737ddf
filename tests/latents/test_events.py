from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.errors import GlossaError
from stages.latents import gather, runs
from stages.latents.events import BYTES_PER_EVENT, Collector
from stages.machine.scratch import Scratch
from tests.folders import tree
from tests.latents.events import matrices, write_run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("events")


def feed(collector: Collector, dense: np.ndarray, length: int, rows: tuple[int, int], batch: int) -> None:
    for start in range(*rows, batch):
        end = min(start + batch, rows[1])
        positions, latents = np.nonzero(dense[:, start * length : end * length].T)
        values = dense[latents, positions + start * length]
        collector.add(start, positions.astype(np.int32), latents.astype(np.int32), values)


@settings(max_examples=60)
@given(matrices, st.integers(1, 12), st.integers(1, 3), st.integers(1, 4))
def test_a_run_has_the_same_bytes_however_little_memory_there_is(
    base: Path, matrix: tuple[np.ndarray, int], capacity: int, batch: int, at_once: int
) -> None:
    dense, length = matrix
    rows = dense.shape[1] // length
    folder = base / str(len(list(base.iterdir())))
    middle = rows // 2
    collector = Collector(Scratch(str(folder / "few")), len(dense), length, 23, capacity * BYTES_PER_EVENT)
    with mock.patch.multiple(gather, EVENTS=at_once, LENGTHS=at_once):
        for first, end in ((0, middle), (middle, rows)):
            if first < end:
                collector.begin(first)
                feed(collector, dense, length, (first, end), batch)
                collector.end(end)
        collector.close()
    for first, end in ((0, middle), (middle, rows)):
        if first < end:
            write_run(folder / "whole", dense, first, end, length)
            assert runs.find(Scratch(str(folder / "few")), first, end, len(dense)) is not None
    assert tree(folder / "few") == tree(folder / "whole")


def test_a_range_that_was_given_up_leaves_nothing(tmp_path: Path) -> None:
    dense = np.arange(1, 25, dtype=np.float32).reshape(2, 12)
    collector = Collector(Scratch(str(tmp_path / "a")), 2, 3, 23, 3 * BYTES_PER_EVENT)
    collector.begin(0)
    feed(collector, dense, 3, (0, 2), 1)
    assert list(tmp_path.glob("a/parts-*"))
    collector.begin(2)
    feed(collector, dense, 3, (2, 4), 1)
    collector.end(4)
    collector.close()
    write_run(tmp_path / "b", dense, 2, 4, 3)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_what_goes_wrong_while_writing_is_said(tmp_path: Path) -> None:
    collector = Collector(Scratch(str(tmp_path)), 2, 3, 23, 10**6)
    collector.begin(0)
    one = np.array([1], np.int32)
    collector.add(0, one, one + 6, np.ones(1, np.float32))
    collector.end(1)
    with pytest.raises(GlossaError, match="expected latents 0 to 1, but the coder returned 7 to 7"):
        collector.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_run_and_no_part(tmp_path: Path) -> None:
    dense = np.ones((2, 12), np.float32)
    collector = Collector(Scratch(str(tmp_path)), 2, 3, 23, 4 * BYTES_PER_EVENT)
    collector.begin(0)
    full = mock.patch.object(runs.os, "fsync", side_effect=OSError(28, "No space left on device"))
    with full, pytest.raises(OSError, match="No space left"):
        feed(collector, dense, 3, (0, 4), 1)
    with suppress(OSError):  # what was still being written fails as well
        collector.close()
    assert list(tmp_path.iterdir()) == []
