import numpy as np
import pytest
from scipy.stats import energy_distance

from stages.similarity import sets
from stages.similarity.sets import energy
from tests.similarity.test_meaning import vectors


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_in_one_dimension_it_is_scipys_without_its_bias() -> None:
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=30), draw.normal(1, 2, size=20)
    found, _ = energy(x[:, None], y[:, None], generator())
    inside = [np.abs(side[:, None] - side).sum() / len(side) ** 2 / (len(side) - 1) for side in (x, y)]
    # SciPy's is the root, and counts the distance of a value to itself
    assert found.value == pytest.approx(energy_distance(x, y) ** 2 - sum(inside))


def test_three_and_two_points_by_hand() -> None:
    found, _ = energy(np.array([[0.0], [2.0]]), np.array([[1.0], [5.0], [6.0]]), generator())
    between = (1 + 5 + 6 + 1 + 3 + 4) / 6
    assert found.value == pytest.approx(2 * between - 2 - (4 + 5 + 1) / 3)
    assert found.n == 5


def test_samples_of_one_distribution_are_at_0() -> None:
    found = [energy(vectors(seed, 50, 4), vectors(seed + 100, 60, 4), generator()) for seed in range(20)]
    assert np.mean([value.value for value, _ in found]) == pytest.approx(0, abs=0.01)
    assert np.mean([p < 0.1 for _, p in found]) < 0.3
    assert np.mean([value.low <= value.value <= value.high for value, _ in found]) == 1


def test_other_meanings_lie_apart() -> None:
    shift = np.array([2.0, 0, 0, 0])
    near, p_near = energy(vectors(1, 80, 4), vectors(2, 80, 4) + shift / 4, generator())
    far, p_far = energy(vectors(1, 80, 4), vectors(2, 80, 4) + shift, generator())
    assert 0 < near.value < near.high < far.low < far.value < far.high
    assert p_far == 1 / (1 + sets.TIMES)
    assert p_near < 0.05


def test_the_same_set_twice_is_below_0_because_nothing_is_compared_with_itself() -> None:
    a = vectors(1, 40, 4)
    found, p = energy(a, a, generator())
    assert -0.1 < found.value < 0
    assert p > 0.9


def test_it_is_symmetric_and_knows_no_order() -> None:
    a, b = vectors(1, 20, 4), vectors(2, 30, 4)
    one = energy(a, b, generator())[0].value
    assert energy(b, a, generator())[0].value == pytest.approx(one)
    assert energy(a[::-1], b, generator())[0].value == pytest.approx(one)


def test_of_many_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = vectors(1, 200, 4), vectors(2, 200, 4) + np.eye(4)[0]
    whole = energy(a, b, generator())[0].value
    monkeypatch.setattr(sets, "MOST", 100)
    found = energy(a, b, generator())[0]
    assert found.n == 200
    assert found.value == pytest.approx(whole, rel=0.3)


def test_one_explanation_is_not_enough() -> None:
    found, p = energy(vectors(1, 1), vectors(2, 5), generator())
    assert (found.value, p) == (None, None)
    assert found.reason == "fewer than two latents of one of the coders are explained"
