import numpy as np
import pytest

from stages import bootstrap


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_mean_of_two_values_and_its_interval() -> None:
    # a draw of two is (0, 0), (1, 1) or one of each: 0, 1 and 1/2 in a quarter, a quarter and a half of the cases
    assert bootstrap.mean(np.array([0.0, 1.0]), generator()) == (0.5, 0.0, 1.0, 2, None)


def test_what_is_undefined_does_not_count() -> None:
    assert bootstrap.mean(np.array([np.nan, 2.0]), generator()) == (2.0, 2.0, 2.0, 1, None)
    assert bootstrap.mean(np.array([np.nan]), generator()) == (None, None, None, 0, "there is no value")


def test_the_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(size=400)
    found = bootstrap.mean(values, generator())
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=50)
    one = bootstrap.mean(values, generator())
    monkeypatch.setattr(bootstrap, "DRAWS", 777)
    assert bootstrap.mean(values, generator()) == one


def test_facts_leave_out_what_is_none() -> None:
    assert bootstrap.facts(bootstrap.Figure(0.5, n=3)) == {"value": 0.5, "n": 3}
