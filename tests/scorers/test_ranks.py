import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from stages.scorers import metrics, ranks
from stages.scorers.ranks import auroc, ranked

values = st.lists(st.integers(-3, 3).map(float), max_size=20).map(lambda found: np.array(found, float))
some = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=20).map(lambda found: np.array(found, float))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_ranked_by_hand() -> None:
    """In the order of their values: active, random, active and surface alike, random."""
    found = ranked(np.array([0.9, 0.5]), {"random": np.array([0.7, 0.1]), "surface": np.array([0.5])}, 0.2, rng())
    assert found["auroc"].value == pytest.approx((1 + 1 + 1 + 0 + 1 + 0.5) / 6)
    assert found["auprc"].value == pytest.approx((1 + 2 / 4) / 2)
    # Of 10 windows it fires in 2; each of the random ones stands for 4, the other kind for none.
    assert found["natural_auprc"].value == pytest.approx((1 + 2 / (2 + 4)) / 2)
    assert auroc(np.array([0.9, 0.5]), np.array([0.5])) == 0.75


@given(some, some, values, st.floats(1e-3, 0.999))
def test_ranked_agrees_with_scikit_learn_with_ties(
    active: np.ndarray, random: np.ndarray, surface: np.ndarray, rate: float
) -> None:
    found = ranked(active, {"random": random, "surface": surface}, rate, rng())
    every = np.concatenate([active, random, surface])
    truth = np.arange(len(every)) < len(active)
    assert found["auroc"].value == pytest.approx(roc_auc_score(truth, every))
    assert auroc(active, np.concatenate([random, surface])) == pytest.approx(roc_auc_score(truth, every))
    assert found["auprc"].value == pytest.approx(average_precision_score(truth, every))
    weights = np.repeat([rate / len(active), (1 - rate) / len(random), 0], [len(active), len(random), len(surface)])
    natural = average_precision_score(truth, every, sample_weight=weights)
    assert found["natural_auprc"].value == pytest.approx(natural)
    for figure in found.values():
        assert figure.low is not None
        assert figure.high is not None
        assert 0 <= figure.low <= figure.high <= 1 + 1e-12


@given(some, some, st.randoms())
def test_the_order_of_examples_tells_nothing(active: np.ndarray, random: np.ndarray, shuffler: object) -> None:
    moved, other = active.tolist(), random.tolist()
    shuffler.shuffle(moved)  # type: ignore[attr-defined]
    shuffler.shuffle(other)  # type: ignore[attr-defined]
    assert ranked(active, {"random": random}, 0.1, rng()) == ranked(
        np.array(moved), {"random": np.array(other)}, 0.1, rng()
    )


@given(some, some)
def test_both_labels_are_treated_alike(active: np.ndarray, random: np.ndarray) -> None:
    assert auroc(active, random) == pytest.approx(auroc(-random, -active))
    assert auroc(active, random) == pytest.approx(1 - auroc(random, active))


def test_the_interval_of_auroc_is_that_of_hanley_and_mcneil() -> None:
    generator = np.random.default_rng(3)
    active, other = generator.normal(1, 1, 200), generator.normal(0, 1, 200)
    found = ranked(active, {"random": other}, 0.1, rng())["auroc"]
    area = found.value or 0
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    error = np.sqrt((area * (1 - area) + 199 * (q1 - area**2) + 199 * (q2 - area**2)) / 200**2)
    assert found.low == pytest.approx(area - 1.96 * error, abs=0.01)
    assert found.high == pytest.approx(area + 1.96 * error, abs=0.01)


def test_what_is_undefined_says_why() -> None:
    none, some = np.empty(0), np.array([1.0])
    assert {figure.reason for figure in ranked(none, {"random": some}, 0.1, rng()).values()} == {ranks.NO_ACTIVE}
    assert {figure.reason for figure in ranked(some, {}, 0.1, rng()).values()} == {ranks.NO_OTHER}
    assert ranked(some, {"surface": some}, 0.1, rng())["natural_auprc"].reason == ranks.NO_RANDOM
    assert ranked(some, {"random": some}, None, rng())["natural_auprc"].reason == metrics.NO_RATE
