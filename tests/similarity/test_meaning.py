import numpy as np
import pytest

from stages.similarity.match import unit
from stages.similarity.meaning import meaning

AXES = np.eye(3, dtype=np.float32)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_same_explanations_of_different_things() -> None:
    found = meaning(AXES[:2], AXES[:2], generator())
    assert found == (2, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, None)


def test_three_pairs_by_hand() -> None:
    found = meaning(AXES, AXES[[0, 1, 0]], generator())
    assert found.n_explained == 3
    assert found.explanation_cosine == pytest.approx(2 / 3)
    # three draws of (1, 1, 0): none is a 1 in one of 27 cases
    assert (found.low, found.high) == pytest.approx((0, 1))
    # of the six pairs that are not matched only (0, 2) says the same; one of the two circles has it
    assert found.floor == pytest.approx(1 / 6)
    assert (found.floor_low, found.floor_high) == pytest.approx((0, 1 / 3))
    assert found.reason is None


@pytest.mark.parametrize(("n", "said"), [(0, "no matched pair has"), (1, "only one matched pair has")])
def test_fewer_than_two_pairs_have_no_value_but_a_reason(n: int, said: str) -> None:
    found = meaning(AXES[:n], AXES[:n], generator())
    assert found[:7] == (n, None, None, None, None, None, None)
    assert found.reason == f"{said} both explanations, and two are needed"


def test_unrelated_explanations_are_at_the_floor() -> None:
    a, b = (unit(np.random.default_rng(seed).normal(size=(200, 64))) for seed in (1, 2))
    found = meaning(a, b, generator())
    assert found.explanation_cosine == pytest.approx(0, abs=0.03)
    assert found.floor == pytest.approx(0, abs=0.01)
    # a mean of 200 cosines with variance 1/64
    assert found.floor_high - found.floor_low == pytest.approx(2 * 1.96 / (64 * 200) ** 0.5, rel=0.15)
    assert found.high - found.low == pytest.approx(2 * 1.96 / (64 * 200) ** 0.5, rel=0.2)
    assert found.floor_low < found.explanation_cosine < found.floor_high


def test_related_explanations_are_above_it() -> None:
    a, noise = (unit(np.random.default_rng(seed).normal(size=(200, 64))) for seed in (1, 2))
    found = meaning(a, unit(a + noise), generator())
    assert found.low < found.explanation_cosine < found.high
    assert found.explanation_cosine == pytest.approx(0.5**0.5, abs=0.02)
    assert found.floor_high < 0.05


def test_swapping_the_coders_changes_no_mean() -> None:
    a, b = (unit(np.random.default_rng(seed).normal(size=(20, 8))) for seed in (1, 2))
    one, other = meaning(a, b, generator()), meaning(b, a, generator())
    assert one.explanation_cosine == pytest.approx(other.explanation_cosine)
    assert one.floor == pytest.approx(other.floor)


def test_the_same_seed_gives_the_same_numbers() -> None:
    a, b = (unit(np.random.default_rng(seed).normal(size=(20, 8))) for seed in (1, 2))
    assert meaning(a, b, generator()) == meaning(a, b, generator())
    assert meaning(a, b, generator()) != meaning(a, b, np.random.default_rng(1))
