import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

from stages import bootstrap
from stages.bootstrap import LEVEL, mean
from stages.scorers import metrics
from stages.scorers.metrics import Calls, classified


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


calls = st.integers(0, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))).map(lambda pair: Calls(*pair))


def test_classified_by_hand() -> None:
    found = classified(Calls(3, 4), {"random": Calls(1, 10), "surface": Calls(3, 6)}, 0.01, rng())
    value = {metric: figure.value for metric, figure in found.items()}
    assert value["sensitivity"] == 0.75
    assert value["specificity"] == 0.75
    assert value["balanced_accuracy"] == 0.75
    assert value["precision"] == pytest.approx(3 / 7)
    assert value["f1"] == pytest.approx(2 * 3 / (7 + 4))
    # Of 10,000 windows it fires in 100, of which 75 are found; of the other 9,900, 990 are called active.
    assert value["natural_precision"] == pytest.approx(75 / (75 + 990))
    assert value["natural_f1"] == pytest.approx(2 * 75 / (75 + 990 + 100))
    for figure in found.values():
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < figure.value < figure.high  # type: ignore[operator]


@given(calls, calls, calls, st.floats(1e-6, 1))
def test_classified_agrees_with_scikit_learn(active: Calls, random: Calls, surface: Calls, rate: float) -> None:
    negatives = {"random": random, "surface": surface}
    found = classified(active, negatives, rate, rng())
    if not active.n or not random.n + surface.n:
        assert found["balanced_accuracy"].reason == (metrics.NO_OTHER if active.n else metrics.NO_ACTIVE)
        return
    parts = (active, random, surface)
    truth = np.concatenate([np.full(part.n, part is active) for part in parts])
    said = np.concatenate([np.arange(part.n) < part.yes for part in parts])
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(truth, said))
    assert found["sensitivity"].value == pytest.approx(recall_score(truth, said))
    assert found["specificity"].value == pytest.approx(recall_score(~truth, ~said))
    assert found["f1"].value == pytest.approx(f1_score(truth, said, zero_division=0))
    if said.any():
        assert found["precision"].value == pytest.approx(precision_score(truth, said))
    else:
        assert found["precision"].reason == metrics.NO_CALL
    if random.n:
        weights = np.repeat([rate / active.n, (1 - rate) / random.n, 0], [part.n for part in parts])
        natural = f1_score(truth, said, zero_division=0, sample_weight=weights)
        assert found["natural_f1"].value == pytest.approx(natural)
        if (weights[said] > 0).any():
            precise = precision_score(truth, said, zero_division=0, sample_weight=weights)
            assert found["natural_precision"].value == pytest.approx(precise)
    else:
        assert found["natural_f1"].reason == found["natural_precision"].reason == metrics.NO_RANDOM


@given(calls, calls, st.one_of(st.none(), st.floats(0, 1)))
def test_every_figure_is_a_share_or_has_a_reason(active: Calls, random: Calls, rate: float | None) -> None:
    for figure in classified(active, {"random": random}, rate, rng()).values():
        if figure.value is None:
            assert figure.reason
            assert figure.low is figure.high is None
        else:
            assert figure.reason is None
            assert figure.low is not None
            assert figure.high is not None
            assert 0 <= figure.low <= figure.high <= 1
            assert 0 <= figure.value <= 1


@given(calls, calls)
def test_both_labels_are_treated_alike(active: Calls, random: Calls) -> None:
    """What is not active called not active is as good as the other way round."""
    found = classified(active, {"random": random}, 0.5, rng())
    swapped = classified(
        Calls(random.n - random.yes, random.n), {"random": Calls(active.n - active.yes, active.n)}, 0.5, rng()
    )
    assert found["balanced_accuracy"].value == pytest.approx(swapped["balanced_accuracy"].value)
    assert found["sensitivity"].value == pytest.approx(swapped["specificity"].value)


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    found = classified(Calls(240, 400), {"random": Calls(100, 400)}, 0.1, rng())["balanced_accuracy"]
    error = 1.96 * np.sqrt(0.6 * 0.4 / 400 + 0.25 * 0.75 / 400) / 2
    assert found.value == pytest.approx(0.675)
    assert found.low == pytest.approx(0.675 - error, abs=0.003)
    assert found.high == pytest.approx(0.675 + error, abs=0.003)


def test_what_the_corpus_would_show_needs_random_negatives_and_a_rate() -> None:
    assert classified(Calls(1, 2), {"surface": Calls(0, 2)}, 0.1, rng())["natural_f1"].reason == metrics.NO_RANDOM
    assert classified(Calls(1, 2), {"random": Calls(0, 2)}, None, rng())["natural_f1"].reason == metrics.NO_RATE
    assert classified(Calls(0, 2), {"random": Calls(0, 2)}, 0.1, rng())["natural_precision"].reason == metrics.NO_CALL
    assert classified(Calls(0, 2), {"random": Calls(0, 2)}, 0.1, rng())["natural_f1"].value == 0


def test_mean_interval_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(0.7, 0.1, 400)
    found = mean(values, rng())
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * 0.1 / 20, abs=0.002)
    assert found.high == pytest.approx(values.mean() + 1.96 * 0.1 / 20, abs=0.002)
    assert mean(np.array([]), rng()).reason == "there is no value"


numbers = st.floats(-10, 10) | st.just(float("nan"))


@given(st.lists(st.lists(numbers, min_size=6, max_size=6), min_size=1, max_size=4))
def test_figures_of_several_latents_are_those_of_each(rows: list[list[float]]) -> None:
    values = np.array(rows)
    found = bootstrap.figures(values)
    for place, row in enumerate(values):
        own = bootstrap.figure(row, "none")
        assert own[:3] == tuple(bootstrap.known(part[place]) for part in found)
        ordered = np.sort(row[1:][np.isfinite(row[1:])])
        if np.isfinite(row[0]) and len(ordered):
            due = np.interp(np.array(LEVEL) * (len(ordered) - 1), np.arange(len(ordered)), ordered)
            assert (own.low, own.high) == tuple(due.tolist())
        else:
            assert (own.low, own.high) == (None, None)
        assert own.reason == (None if np.isfinite(row[0]) else "none")
