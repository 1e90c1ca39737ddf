from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import params
from stages.examples.hashing import keys
from stages.examples.split import Ranking, Split, rank, split, spread
from stages.examples.windows import Firing

strategies = st.sampled_from(["quantile", "random", "top", "mix"])


def firing_of(maxima: list[list[float]]) -> Firing:
    """Latents with so many windows each, side by side in the corpus."""
    bounds = np.cumsum([0, *map(len, maxima)])
    starts = np.concatenate([np.arange(len(of)) * 8 for of in maxima]).astype(np.int64)
    flat = np.array([value for of in maxima for value in of], np.float32)
    return Firing(bounds, starts, flat, np.arange(len(flat)), np.arange(len(flat)) + 1)


def descending(*counts: int) -> Firing:
    return firing_of([list(range(n, 0, -1)) for n in counts])


def sampling(strategy: str = "quantile", n: int = 40, validation: int = 0, per_decile: int = 10) -> params.Sampling:
    options: Any = {"strategy": strategy, "n": n}
    return params.Sampling.model_validate(
        {"latents": "all", "train": options, "validation": {"n": validation}, "test": {"per_decile": per_decile}}
    )


def chosen(windows: Firing, options: params.Sampling, seed: int = 0) -> tuple[Split, Ranking]:
    ranking = rank(windows)
    n = len(windows.bounds) - 1
    return split(windows, ranking, keys(seed, "one", np.arange(n)), options), ranking


def deciles(ranking: Ranking, places: np.ndarray) -> list[int]:
    """How many of ``places``, all of the first latent, are in each decile."""
    n = int(ranking.bounds[1])
    return np.bincount(places * 10 // n, minlength=10).tolist()


@given(st.lists(st.lists(st.sampled_from([1.0, 2.0, 3.5, 1e-30, 3e38]), max_size=40), min_size=1, max_size=4))
def test_windows_are_ranked_by_their_maximum(maxima: list[list[float]]) -> None:
    windows = firing_of(maxima)
    ranking = rank(windows)
    for latent, values in enumerate(maxima):
        part = ranking.order[windows.bounds[latent] : windows.bounds[latent + 1]] - windows.bounds[latent]
        assert part.tolist() == sorted(range(len(values)), key=lambda i: (-np.float32(values[i]), i))
    for latent, (values, edges) in enumerate(zip(maxima, ranking.edges - ranking.bounds[:-1, None], strict=True)):
        expected = [sum(place * 10 // len(values) < decile for place in range(len(values))) for decile in range(11)]
        assert edges.tolist() == expected, latent


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=5), st.integers(0, 30))
def test_spread_deals_one_to_each_in_turn(rooms: list[list[int]], n: int) -> None:
    expected = []
    for row in rooms:
        dealt, left = [0] * len(row), n
        while left and dealt != row:
            for i in range(len(row)):
                if left and dealt[i] < row[i]:
                    dealt[i] += 1
                    left -= 1
        expected.append(dealt)
    assert spread(np.array(rooms), np.full(len(rooms), n)).tolist() == expected


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=4),
    strategies,
    st.integers(1, 40),
    st.integers(0, 20),
    st.integers(1, 10),
    st.integers(0, 100),
)
def test_no_window_has_two_roles_and_none_is_missing_that_could_be_had(
    counts: list[int], strategy: str, n_train: int, n_validation: int, per_decile: int, seed: int
) -> None:
    windows = descending(*counts)
    found, ranking = chosen(windows, sampling(strategy, n_train, n_validation, per_decile), seed)
    together = np.concatenate(found)
    assert len(np.unique(together)) == len(together)
    for latent, n in enumerate(counts):
        low, high = ranking.bounds[latent], ranking.bounds[latent + 1]
        train, validation, test = (part[(part >= low) & (part < high)] - low for part in found)
        if n < 2:
            assert not len(train) + len(validation) + len(test)
            continue
        assert 1 <= len(train) <= n_train
        assert 1 <= len(test) <= 10 * per_decile
        assert len(validation) == n_validation if n >= n_train + n_validation + 10 * per_decile else True
        assert len(validation) >= (1 if n_validation and n > 2 else 0)
        if n >= n_train + n_validation + 10 * per_decile:
            assert (len(train), len(test)) == (n_train, 10 * per_decile)
        else:
            assert len(train) + len(validation) + len(test) == n or len(train) == n_train
        spread_out = np.bincount(test * 10 // n, minlength=10)
        room = np.bincount(np.arange(n) * 10 // n, minlength=10)
        assert (spread_out[spread_out < room] >= spread_out.max() - 1).all()  # even, but where a decile has no more


@given(st.lists(st.integers(0, 60), min_size=2, max_size=5), strategies, st.integers(0, 100))
def test_a_latent_s_split_does_not_depend_on_the_others(counts: list[int], strategy: str, seed: int) -> None:
    options = sampling(strategy, 7, 3, 1)
    together, ranking = chosen(descending(*counts), options, seed)
    last = len(counts) - 1
    alone_windows = descending(counts[last])
    alone = split(alone_windows, rank(alone_windows), keys(seed, "one", np.array([last])), options)
    for all_of_them, own in zip(together, alone, strict=True):
        assert (all_of_them[all_of_them >= ranking.bounds[last]] - ranking.bounds[last]).tolist() == own.tolist()


def test_few_windows_are_shared_in_proportion() -> None:
    found, _ = chosen(descending(10), sampling(n=40, per_decile=10))
    assert [len(part) for part in found] == [3, 0, 7]
    found, _ = chosen(descending(30), sampling(n=40, validation=20, per_decile=10))
    assert [len(part) for part in found] == [9, 3, 18]  # 30 · 20 / 160 and 30 · 100 / 160, rounded down
    found, _ = chosen(descending(3), sampling(n=40, validation=20, per_decile=10))
    assert [len(part) for part in found] == [1, 1, 1]
    found, _ = chosen(descending(2), sampling(n=40, validation=20, per_decile=10))
    assert [len(part) for part in found] == [1, 0, 1]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("quantile", [2] * 10), ("top", [20, *[0] * 9]), ("mix", [11, *[1] * 9])],
)
def test_strategies_on_a_thousand_windows(strategy: str, expected: list[int]) -> None:
    found, ranking = chosen(descending(1000), sampling(strategy, 20, 10, 2))
    assert deciles(ranking, found.train) == expected
    assert deciles(ranking, found.test) == [2] * 10
    assert deciles(ranking, found.validation) == [1] * 10
    if strategy != "quantile":
        free = np.setdiff1d(np.arange(1000), np.concatenate([found.test, found.validation]))
        strongest = 20 if strategy == "top" else 10
        assert found.train[:strongest].tolist() == free[:strongest].tolist()


def test_random_windows_are_from_anywhere() -> None:
    found, ranking = chosen(descending(1000), sampling("random", 100, 0, 1))
    counts = deciles(ranking, found.train)
    assert 3 <= min(counts) < max(counts) <= 20


def test_every_window_of_a_decile_is_equally_likely() -> None:
    counts = np.zeros(200, np.int64)
    for seed in range(300):
        counts[chosen(descending(200), sampling("quantile", 20, 0, 4), seed)[0].test] += 1
    assert (counts.reshape(10, 20).sum(axis=1) == 1200).all()
    assert abs(counts - 60).max() < 35  # a little more than five standard deviations
