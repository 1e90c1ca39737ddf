from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages import params
from stages.examples.windows import Firing, firing, gather, generator_of, silent_windows, split

events = st.builds(
    lambda length, density, seed: _events(length, density, seed),
    st.integers(1, 400),
    st.sampled_from([0.0, 0.02, 0.2, 1.0]),
    st.integers(0, 10_000),
)
strategies = st.sampled_from(["quantile", "random", "top", "mix"])


def _events(length: int, density: float, seed: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    positions = np.flatnonzero(generator.random(length) < density).astype(np.int32)
    return positions, generator.integers(1, 9, len(positions)).astype(np.float32)  # small numbers, so that some tie


def windows_of(n: int) -> Firing:
    return firing(np.arange(n) * 8, np.arange(n, 0, -1).astype(np.float32), 8)


@given(events, st.integers(1, 16))
def test_firing_ranks_the_windows_by_their_maximum(
    found: tuple[NDArray[np.int32], NDArray[np.float32]], window: int
) -> None:
    positions, values = found
    ranked = firing(positions, values, window)
    maxima: dict[int, float] = {}
    for position, value in zip(positions.tolist(), values.tolist(), strict=True):
        maxima[position // window] = max(maxima.get(position // window, 0), value)
    expected = sorted(maxima.items(), key=lambda item: (-item[1], item[0]))
    assert list(zip(ranked.windows.tolist(), ranked.maxima.tolist(), strict=True)) == expected
    assert (np.diff(ranked.deciles) >= 0).all()
    if len(expected):
        counts = np.bincount(ranked.deciles, minlength=11)[1:]
        assert counts.sum() == len(expected)
        assert counts.max() - counts.min() <= 1


def test_firing_by_hand() -> None:
    ranked = firing(np.array([1, 3, 4, 9, 10]), np.array([2, 5, 5, 1, 7], np.float32), 4)
    assert ranked.windows.tolist() == [2, 0, 1]
    assert ranked.maxima.tolist() == [7, 5, 5]
    assert ranked.deciles.tolist() == [1, 4, 7]


@given(st.integers(0, 300), strategies, st.integers(1, 40), st.integers(1, 10), st.integers(0, 100))
def test_train_and_test_are_disjoint_and_never_empty(
    n: int, strategy: str, n_train: int, per_decile: int, seed: int
) -> None:
    train = params.Train.model_validate({"strategy": strategy, "n": n_train})
    found = windows_of(n)
    chosen = split(found, train, per_decile, np.random.default_rng(seed))
    both = [*chosen.train.tolist(), *chosen.test.tolist()]
    assert len(both) == len(set(both))
    assert set(both) <= set(range(n))
    assert len(chosen.train) <= max(1, n_train)
    assert len(chosen.test) <= 10 * per_decile
    if n < 2:
        assert (len(chosen.train), len(chosen.test)) == (n, 0)
        return
    assert len(chosen.train) >= 1
    assert len(chosen.test) >= 1
    if n >= n_train + 10 * per_decile:
        assert (len(chosen.train), len(chosen.test)) == (n_train, 10 * per_decile)
    else:
        assert len(both) == n or len(chosen.train) == n_train
    counts = np.bincount(found.deciles[chosen.test], minlength=11)[1:]
    room = np.bincount(found.deciles, minlength=11)[1:]
    full = counts == room
    assert (counts[~full] >= counts.max() - 1).all()  # even, except where a decile has no more
    again = split(found, train, per_decile, np.random.default_rng(seed))
    assert np.array_equal(again.train, chosen.train)
    assert np.array_equal(again.test, chosen.test)


def test_few_windows_are_shared_in_proportion() -> None:
    chosen = split(windows_of(10), params.Train(n=40), 10, np.random.default_rng(0))
    assert (len(chosen.train), len(chosen.test)) == (3, 7)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("top", [20, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("quantile", [2] * 10),
        ("mix", [11, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_strategies_draw_from_the_deciles_they_promise(strategy: str, expected: list[int]) -> None:
    found = windows_of(1000)
    train = params.Train.model_validate({"strategy": strategy, "n": 20})
    chosen = split(found, train, 2, np.random.default_rng(0))
    assert np.bincount(found.deciles[chosen.train], minlength=11)[1:].tolist() == expected
    assert np.bincount(found.deciles[chosen.test], minlength=11)[1:].tolist() == [2] * 10
    if strategy == "top":
        free = np.setdiff1d(np.arange(1000), chosen.test)
        assert np.array_equal(chosen.train, free[:20])


def test_random_windows_are_not_the_strongest() -> None:
    train = params.Train(strategy="random", n=100)
    found = windows_of(1000)
    deciles = found.deciles[split(found, train, 1, np.random.default_rng(0)).train]
    counts = np.bincount(deciles, minlength=11)[1:]
    assert counts.min() >= 3
    assert counts.max() <= 20
    assert len(set(counts.tolist())) > 1


@given(st.integers(0, 200), st.integers(1, 200), st.floats(0, 1), st.integers(0, 1000))
def test_negatives_never_fire_and_never_repeat(n: int, total: int, share: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    fires = generator.permutation(total)[: int(share * total)]
    silent = silent_windows(n, total, fires, np.random.default_rng(seed))
    assert len(silent) == min(n, total - len(fires))
    assert len(set(silent.tolist())) == len(silent)
    assert not set(silent.tolist()) & set(fires.tolist())
    assert set(silent.tolist()) <= set(range(total))
    assert np.array_equal(silent, silent_windows(n, total, fires, np.random.default_rng(seed)))
    assert np.array_equal(silent, np.sort(silent))


@pytest.mark.parametrize("total", [30, 3000])  # both ways of drawing
def test_every_silent_window_is_equally_likely(total: int) -> None:
    fires = np.arange(total // 2)
    counts = np.zeros(total, np.int64)
    for seed in range(300):
        counts[silent_windows(10, total, fires, np.random.default_rng(seed))] += 1
    assert counts[: total // 2].sum() == 0
    halves = counts[total // 2 : 3 * total // 4].sum(), counts[3 * total // 4 :].sum()
    assert abs(halves[0] - halves[1]) < 0.1 * sum(halves)


@given(events, st.integers(1, 16), st.integers(0, 100))
def test_gather_equals_a_plain_loop(
    found: tuple[NDArray[np.int32], NDArray[np.float32]], window: int, seed: int
) -> None:
    positions, values = found
    total = 400 // window
    windows = np.random.default_rng(seed).permutation(total)[:7].astype(np.int64)
    dense = gather(windows, positions, values, window)
    at = dict(zip(positions.tolist(), values.tolist(), strict=True))
    expected = [[at.get(int(number) * window + i, 0.0) for i in range(window)] for number in windows]
    assert dense.shape == (len(windows), window)
    assert dense.tolist() == expected


def test_a_generator_is_one_latent_s_own() -> None:
    draws = {
        tuple(generator_of(*key).integers(1 << 30, size=3))
        for key in [(0, "one", 0), (0, "one", 1), (0, "two", 0), (1, "one", 0)]
    }
    assert len(draws) == 4
    assert generator_of(0, "one", 0).random() == generator_of(0, "one", 0).random()
