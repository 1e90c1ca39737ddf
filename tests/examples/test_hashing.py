from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.examples import hashing
from stages.examples.hashing import GAMMA, below, keys, mix, shuffled


def test_it_is_splitmix64() -> None:
    # The first outputs of the generator by its authors, seeded with 0: its state grows by GAMMA from one to the next.
    states = np.arange(3, dtype=np.uint64) * GAMMA
    assert mix(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(st.integers(0, 3 * hashing.BLOCK))
def test_a_number_s_hash_does_not_depend_on_its_place(n: int) -> None:
    found = mix(np.arange(n))
    assert len(found) == n
    assert found[-1:].tolist() == mix(np.array([n - 1]))[: min(n, 1)].tolist()


def test_a_key_is_one_latent_s_own() -> None:
    cases = [keys(seed, coder, np.arange(100)) for seed, coder in ((0, "one"), (1, "one"), (0, "two"))]
    assert len(np.unique(np.concatenate(cases))) == 300
    assert keys(0, "one", np.array([7]))[0] == cases[0][7]


@given(st.sets(st.integers(0, 2**31 - 1)), st.data())
def test_the_order_of_some_latents_is_that_of_all(latents: set[int], data: st.DataObject) -> None:
    order = shuffled(0, "one", latents)
    assert sorted(order) == sorted(latents)
    some = data.draw(st.sets(st.sampled_from(order)) if order else st.just(set()))
    assert shuffled(0, "one", some) == [latent for latent in order if latent in some]


def test_the_order_is_another_for_another_seed_or_coder() -> None:
    orders = [shuffled(seed, coder, range(100)) for seed, coder in ((0, "one"), (1, "one"), (0, "two"))]
    assert len({tuple(order) for order in (*orders, range(100))}) == 4


def test_numbers_below_a_limit_are_equally_likely() -> None:
    drawn = below(mix(np.arange(70_000)), np.full(70_000, 7))
    counts = np.bincount(drawn)
    assert len(counts) == 7
    assert abs(counts - 10_000).max() < 500  # five standard deviations
    assert below(np.array([2**64 - 1], np.uint64), np.array([2**40])).tolist() == [2**40 - 1]
