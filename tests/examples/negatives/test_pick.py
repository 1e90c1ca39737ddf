from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.examples.hashing import keys
from stages.examples.negatives.pick import draw, first, found
from stages.examples.windows import Busy

N_BLOCKS = 200


def busy_of(taken: list[set[int]]) -> Busy:
    pairs = sorted((owner, block) for owner, blocks in enumerate(taken) for block in blocks)
    return Busy(np.array([owner * N_BLOCKS + block for owner, block in pairs], np.int64), N_BLOCKS)


taken_blocks = st.lists(st.sets(st.integers(0, N_BLOCKS - 1)), min_size=1, max_size=4)


@given(taken_blocks, st.integers(1, 6), st.integers(1, 9), st.integers(0, 1000))
def test_first_takes_silent_blocks_in_their_order(taken: list[set[int]], n: int, m: int, seed: int) -> None:
    candidates = np.random.default_rng(seed).integers(-1, 12, (len(taken), m))
    expected = []
    for row, blocks in zip(candidates.tolist(), taken, strict=True):
        good = list(dict.fromkeys(block for block in row if block >= 0 and block not in blocks))[:n]
        expected.append(good + [-1] * (n - len(good)))
    assert first(candidates, busy_of(taken), n, np.arange(len(taken))).tolist() == expected


def test_found_drops_what_is_none() -> None:
    owners, blocks = found(np.array([[3, 1, -1], [-1, -1, -1], [7, -1, -1]]))
    assert (owners.tolist(), blocks.tolist()) == ([0, 0, 2], [3, 1, 7])


@given(taken_blocks, st.integers(1, 30), st.sampled_from([1, 3, 200, 3000]), st.integers(0, 1000))
def test_draw_finds_all_that_can_be_had(taken: list[set[int]], n: int, pool: int, seed: int) -> None:
    """The pool is the first of the blocks, each as often as it goes round."""
    pools = np.full(len(taken), pool)
    pools[-1] = 0

    def lookup(owners: np.ndarray, places: np.ndarray) -> np.ndarray:
        assert (places < pools[owners]).all()
        return places % N_BLOCKS

    owners, blocks = draw(keys(seed, "x", np.arange(len(taken))), pools, lookup, busy_of(taken), n)
    for owner, not_these in enumerate(taken):
        own = blocks[owners == owner].tolist()
        free = set(range(min(int(pools[owner]), N_BLOCKS))) - not_these
        assert len(set(own)) == len(own) == min(n, len(free))
        assert set(own) <= free
    alone = draw(keys(seed, "x", np.array([0])), pools[:1], lookup, busy_of(taken[:1]), n)
    assert alone.blocks.tolist() == blocks[owners == 0].tolist()


def test_every_block_is_equally_likely_drawn_or_looked_up() -> None:
    for free in (range(N_BLOCKS // 2), range(12)):  # in the second case too few are free to be drawn
        counts = np.zeros(N_BLOCKS, np.int64)
        taken = set(range(N_BLOCKS)) - set(free)
        n_keys = 600
        _, blocks = draw(
            keys(0, "x", np.arange(n_keys)),
            np.full(n_keys, N_BLOCKS),
            lambda owners, places: places,
            busy_of([taken] * n_keys),
            6,
        )
        np.add.at(counts, blocks, 1)
        expected = 6 * n_keys / len(free)
        assert counts.sum() == 6 * n_keys
        assert abs(counts[list(free)] - expected).max() < 5 * expected**0.5
