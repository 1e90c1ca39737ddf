from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.examples.grid import Grid
from stages.examples.windows import Busy, blocks, busy, firing, gather, ranges, select
from tests.examples.made import events_of

WINDOW = 4


def matrix(n_latents: int, n_blocks: int, density: float, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    shape = (n_latents, WINDOW * n_blocks)
    values = generator.integers(-3, 9, shape).astype(np.float32)
    return np.where(generator.random(shape) < density, values, np.float32(0))


matrices = st.builds(
    matrix, st.integers(1, 5), st.integers(1, 30), st.sampled_from([0.0, 0.05, 0.4, 1.0]), st.integers(0, 10_000)
)


def grid_of(dense: np.ndarray, usable: np.ndarray | None = None) -> Grid:
    n_blocks = dense.shape[1] // WINDOW
    return Grid(WINDOW, dense.shape[1], n_blocks, None, usable)


@given(matrices)
def test_blocks_and_where_a_latent_is_above_0_in_them(dense: np.ndarray) -> None:
    found = blocks(events_of(dense), WINDOW)
    cut = dense.reshape(len(dense), -1, WINDOW)
    for latent, rows in enumerate(cut):
        part = slice(found.bounds[latent], found.bounds[latent + 1])
        live = np.flatnonzero(rows.any(axis=1))
        assert found.numbers[part].tolist() == live.tolist()
        assert found.maxima[part].tolist() == [max(row[row != 0]) for row in rows[live]]
        assert (found.last - found.first)[part].tolist() == np.count_nonzero(rows[live], axis=1).tolist()
    windows = firing(found, grid_of(dense))
    latents, numbers = np.nonzero(cut.max(axis=2) > 0)
    assert windows.starts.tolist() == (WINDOW * numbers).tolist()
    assert windows.bounds.tolist() == np.searchsorted(latents, np.arange(len(dense) + 1)).tolist()
    usable = np.arange(0, dense.shape[1] // WINDOW, 2)
    assert set((firing(found, grid_of(dense, usable)).starts // WINDOW).tolist()) == set(numbers.tolist()) & set(usable)


@given(matrices, st.integers(0, 100))
def test_gather_returns_what_the_matrix_holds(dense: np.ndarray, seed: int) -> None:
    events = events_of(dense)
    windows = firing(blocks(events, WINDOW), grid_of(dense))
    chosen = np.random.default_rng(seed).permutation(len(windows.starts))[:7]
    owners = np.searchsorted(windows.bounds, chosen, side="right") - 1
    expected = [
        dense[owner, start : start + WINDOW].tolist()
        for owner, start in zip(owners, windows.starts[chosen], strict=True)
    ]
    assert gather(windows, chosen, events, WINDOW).tolist() == expected


@given(matrices, st.integers(0, 100))
def test_busy_blocks_are_those_with_any_activation(dense: np.ndarray, seed: int) -> None:
    found = blocks(events_of(dense), WINDOW)
    cut = grid_of(dense)
    taken = busy(found, firing(found, cut), cut)
    active = dense.reshape(len(dense), -1, WINDOW).any(axis=2)
    owners, numbers = np.indices(active.shape).reshape(2, -1)
    assert taken.holds(owners, numbers).tolist() == active.ravel().tolist()
    more = np.random.default_rng(seed).random(active.shape) < 0.2
    both = taken.add(*np.nonzero(more))
    assert both.holds(owners, numbers).tolist() == (active | more).ravel().tolist()
    assert not Busy(np.empty(0, np.int64), cut.n_blocks).holds(owners, numbers).any()


def test_a_window_that_is_no_block_makes_both_busy_that_it_touches() -> None:
    dense = np.zeros((2, 6 * WINDOW), np.float32)
    dense[1, 9] = 1
    found = blocks(events_of(dense), WINDOW)
    windows = firing(found, grid_of(dense))._replace(starts=np.array([7]))
    taken = busy(found, windows, grid_of(dense))
    assert [int(block) for block in range(6) if taken.holds(np.array([1]), np.array([block]))[0]] == [1, 2]
    assert not taken.holds(np.zeros(6, np.int64), np.arange(6)).any()


@given(matrices, st.integers(0, 100))
def test_select_keeps_bounds(dense: np.ndarray, seed: int) -> None:
    windows = firing(blocks(events_of(dense), WINDOW), grid_of(dense))
    chosen = np.random.default_rng(seed).random(len(windows.starts)) < 0.5
    kept = select(windows, chosen)
    owners = np.repeat(np.arange(len(dense)), np.diff(windows.bounds))
    assert kept.starts.tolist() == windows.starts[chosen].tolist()
    assert np.repeat(np.arange(len(dense)), np.diff(kept.bounds)).tolist() == owners[chosen].tolist()


def test_ranges() -> None:
    assert ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
