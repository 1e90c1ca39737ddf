from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.examples.centre import centred
from stages.examples.grid import Grid, grid
from stages.examples.windows import Firing, blocks
from tests.examples.made import World, events_of, worlds

WINDOW = 8


def found(dense: np.ndarray, cut: Grid, centre: int) -> Firing:
    events = events_of(dense)
    return centred(events, blocks(events, cut.window), cut, centre)


@given(worlds, st.integers(0, WINDOW - 1), st.booleans())
def test_windows_lie_around_their_strongest_token(world: World, centre: int, across: bool) -> None:
    cut = grid(world.tokens, WINDOW, across_documents=across)
    windows = found(world.dense, cut, centre)
    for latent in range(len(world.dense)):
        part = slice(windows.bounds[latent], windows.bounds[latent + 1])
        taken = np.zeros(world.dense.shape[1], bool)
        for start, maximum in zip(windows.starts[part].tolist(), windows.maxima[part].tolist(), strict=True):
            inside = slice(start, start + WINDOW)
            assert not taken[inside].any()  # no token is in two windows
            taken[inside] = True
            values = world.dense[latent, inside]
            assert values.max() == maximum > 0
            places = start + np.flatnonzero(values == maximum)
            begin, end = cut.stretch(places)
            assert (begin <= start).all()
            assert (start + WINDOW <= end).all()
            wanted = np.clip(places - centre, begin, end - WINDOW)
            assert start in wanted.tolist()  # one of the strongest tokens stands where it should
        strongest = world.dense[latent].max()
        if across and strongest > 0:
            assert windows.maxima[part].max() == strongest  # the strongest window is never given up


def test_by_hand() -> None:
    dense = np.zeros((1, 48), np.float32)  # two rows of 24
    dense[0, [2, 10, 17, 20, 30, 46]] = [5, 4, 3, 6, -1, 2]
    cut = Grid(WINDOW, 24, 6, None, None)
    # 2 and 46 are too near to an edge; 10's window meets that of 2; the one around 17 would hold 20, which is stronger.
    assert found(dense, cut, 3).starts.tolist() == [0, 16, 40]
    windows = found(dense, cut, 7)
    assert windows.starts.tolist() == [0, 13, 39]
    assert windows.maxima.tolist() == [5, 6, 2]
    assert (windows.last - windows.first).tolist() == [1, 2, 1]


@pytest.mark.parametrize("gap", [1, 2, 7])
def test_of_windows_that_overlap_the_stronger_stays(gap: int) -> None:
    dense = np.zeros((2, 64), np.float32)
    dense[:, 20] = [1, 2]
    dense[:, 20 + gap + WINDOW // 2] = [2, 1]
    windows = found(dense, Grid(WINDOW, 64, 8, None, None), 4)
    apart = gap + WINDOW // 2 >= WINDOW
    assert np.diff(windows.bounds).tolist() == ([2, 2] if apart else [1, 1])
    if not apart:
        assert windows.starts.tolist() == [20 + gap, 16]
        assert windows.maxima.tolist() == [2, 2]
