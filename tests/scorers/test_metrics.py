import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from stages.scorers.metrics import auroc, classified, mean

labels = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_classified_by_hand() -> None:
    active = np.array([1, 1, 1, 1, 0, 0], bool)
    predicted = np.array([1, 1, 1, 0, 1, 0], bool)
    found = classified(active, predicted, rng())
    assert found.sensitivity == 0.75
    assert found.specificity == 0.5
    assert found.balanced_accuracy.value == 0.625
    assert found.f1 == pytest.approx(2 * 3 / (4 + 4))
    assert found.balanced_accuracy.low is not None
    assert found.balanced_accuracy.high is not None
    assert found.balanced_accuracy.low < 0.625 < found.balanced_accuracy.high


@given(labels)
def test_classified_agrees_with_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    active, predicted = np.array(pairs, bool).T
    found = classified(active, predicted, rng())
    if active.all() or not active.any():
        assert found.balanced_accuracy.value is None
        assert found.balanced_accuracy.reason
        return
    assert found.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(active, predicted))
    assert found.f1 == pytest.approx(f1_score(active, predicted, zero_division=0))
    swapped = classified(~active, ~predicted, rng())
    assert swapped.balanced_accuracy.value == pytest.approx(found.balanced_accuracy.value)


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40))
def test_auroc_agrees_with_scikit_learn_with_ties(pairs: list[tuple[bool, int]]) -> None:
    active = np.array([a for a, _ in pairs], bool)
    values = np.array([v for _, v in pairs], float)
    found = auroc(active, values, rng())
    if active.all() or not active.any():
        assert found.value is None
        assert found.reason
        return
    assert found.value == pytest.approx(roc_auc_score(active, values))
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.high <= 1


def test_mean_interval_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(0.7, 0.1, 400)
    found = mean(values, rng())
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * 0.1 / 20, abs=0.002)
    assert found.high == pytest.approx(values.mean() + 1.96 * 0.1 / 20, abs=0.002)
    assert mean(np.array([]), rng()).reason == "no latent has a score"
