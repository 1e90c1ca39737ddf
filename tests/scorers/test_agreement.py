from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from stages.bootstrap import Figure
from stages.scorers.agreement import Curve, agreement


def curve(true: list[float], predicted: list[float], active: bool = True) -> Curve:
    return Curve(np.array(true, float), np.array(predicted, float), active)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


HAND = [curve([0, 4, 0, 0], [0, 10, 0, 5]), curve([0, 2], [0, 5]), curve([0, 0], [5, 0], active=False)]


def test_by_hand() -> None:
    """a = 0 4 0 0 0 2 0 0 with mean 0.75; p = 0 10 0 5 0 5 5 0; at 0.4 a unit s = 0 4 0 2 0 2 2 0."""
    found = agreement(HAND, 0.4, rng())
    # n sum ap - sum a sum p = 8 * 50 - 6 * 25; n sum a² - (sum a)² = 8 * 20 - 36; n sum p² - (sum p)² = 8 * 175 - 625
    assert found["pearson"].value == pytest.approx(250 / (124 * 775) ** 0.5)
    # errors -2 and -2; sum (a - mean a)² = 20 - 36 / 8
    assert found["r2"].value == pytest.approx(1 - 8 / 15.5)
    # sum |a - mean a| = 3.25 + 1.25 + 6 * 0.75
    assert found["absolute_deviation_explained"].value == pytest.approx(1 - 4 / 9)
    for figure in found.values():
        assert figure.reason is None
        assert figure.value is not None
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.value <= figure.high


def test_tokens_are_pooled_and_not_averaged_over_windows() -> None:
    """Within each window prediction and truth agree perfectly, but the heights of the windows are the wrong way round."""
    found = agreement([curve([0, 1], [8, 10]), curve([5, 6], [0, 2])], 1, rng())["pearson"].value
    assert found == pytest.approx(pearsonr([0, 1, 5, 6], [8, 10, 0, 2]).statistic)
    assert found is not None
    assert found < 0


numbers = st.floats(0, 10, allow_nan=False).map(lambda value: round(value, 3))
shapes = st.tuples(st.integers(2, 6), st.integers(2, 5))


@given(shapes.flatmap(lambda shape: st.tuples(*[arrays.arrays(np.float64, shape, elements=numbers)] * 2)), st.data())
def test_agrees_with_scipy_and_scikit_learn_in_any_order(
    both: tuple[NDArray[np.float64], NDArray[np.float64]], data: st.DataObject
) -> None:
    true, predicted = both
    assume(np.ptp(true) > 0.01)
    curves = [Curve(a, p, bool(number % 2)) for number, (a, p) in enumerate(zip(true, predicted, strict=True))]
    found = agreement(curves, 0.5, rng())
    assert found["r2"].value == pytest.approx(r2_score(true.ravel(), predicted.ravel() / 2), abs=1e-9)
    explained = 1 - np.abs(true - predicted / 2).sum() / np.abs(true - true.mean()).sum()
    assert found["absolute_deviation_explained"].value == pytest.approx(explained, abs=1e-9)
    pearson = found["pearson"]
    if np.ptp(predicted) <= 0.01:
        assert pearson.value is None or np.ptp(predicted)
    else:
        assert pearson.value == pytest.approx(pearsonr(true.ravel(), predicted.ravel()).statistic, abs=1e-6)
        assert pearson.value is not None
        assert -1 <= pearson.value <= 1
        if pearson.low is not None and pearson.high is not None:
            assert -1 <= pearson.low <= pearson.high <= 1
    order = data.draw(st.permutations(curves))
    for metric, figure in agreement(order, 0.5, rng()).items():
        assert figure.value == pytest.approx(found[metric].value, abs=1e-9)


def test_the_height_matters_to_all_but_the_correlation() -> None:
    once, twice = (agreement(HAND, unit, rng()) for unit in (0.4, 0.8))
    assert once["pearson"] == twice["pearson"]
    assert once["r2"].value != twice["r2"].value
    perfect = agreement([curve([0, 1, 2], [0, 5, 10])], 0.2, rng())
    assert [figure.value for figure in perfect.values()] == pytest.approx([1, 1, 1])
    mean = agreement([curve([0, 1, 2], [5, 5, 5.0000001])], 0.2, rng())
    assert mean["r2"].value == pytest.approx(0, abs=1e-6)


def test_what_is_undefined_says_why() -> None:
    assert {figure.reason for figure in agreement([], 1, rng()).values()} == {"no window has a prediction"}
    flat = agreement([curve([2, 2], [0, 10]), curve([2, 2], [3, 4])], 1, rng())
    assert {figure.value for figure in flat.values()} == {None}
    assert {figure.reason for figure in flat.values()} == {"the latent is equally strong on every token"}
    silent = agreement([curve([0, 2], [0.1, 0.1]), curve([0, 0], [0.1, 0.1], active=False)], 1, rng())
    assert silent["pearson"] == Figure(reason="the same is predicted for every token")
    assert silent["r2"].value == pytest.approx(r2_score([0, 2, 0, 0], [0.1] * 4))


def test_the_interval_is_that_of_whole_windows() -> None:
    """Windows that repeat one token 50 times say no more than windows of one token."""
    generator = np.random.default_rng(1)
    true, predicted = generator.normal(size=40), generator.normal(size=40)
    predicted += true
    short = agreement([curve([a], [p]) for a, p in zip(true, predicted, strict=True)], 1, rng())
    long = agreement([curve([a] * 50, [p] * 50) for a, p in zip(true, predicted, strict=True)], 1, rng())
    for metric in short:
        assert short[metric] == pytest.approx(long[metric], abs=1e-9)
    low, high = short["pearson"].low, short["pearson"].high
    assert low is not None
    assert high is not None
    assert 0.2 < high - low < 0.6  # Fisher's: about 0.45 for a correlation of 0.7 and 40 points at this level
