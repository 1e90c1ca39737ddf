import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.scorers.strength import HIGHEST, LOWEST, STEPS, WITHIN, tune


@given(st.floats(-2, 3.5), st.floats(1, 3), st.floats(0.1, 3))
def test_a_power_of_the_strength_is_met_wherever_it_lies(at: float, power: float, target: float) -> None:
    """KL grows about with the square of a small edit; here it meets the target at 10 ** at."""
    (found,) = tune(lambda places, s: target * (s / 10**at) ** power, 1, target)
    assert found.converged
    assert found.steps <= STEPS
    assert found.divergence == pytest.approx(target, rel=WITHIN)
    assert found.strength == pytest.approx(10**at, rel=0.11)


def test_what_flattens_out_is_met_too() -> None:
    (found,) = tune(lambda places, s: 1.3 * (1 - np.exp(-((s / 50) ** 2))), 1, 1.0)
    assert found.converged
    assert found.divergence == pytest.approx(1.0, rel=WITHIN)


def test_each_is_tuned_on_its_own() -> None:
    scales = np.array([3.0, 70.0, 900.0, 0.02])

    def divergence(places: np.ndarray, strengths: np.ndarray) -> np.ndarray:
        assert len(places) == len(strengths)
        return (strengths / scales[places]) ** 2

    together = tune(divergence, 4, 1.0)
    apart = [tune(lambda _, s, scale=scale: (s / scale) ** 2, 1, 1.0)[0] for scale in scales]  # type: ignore[misc]
    assert together == apart
    assert all(found.converged for found in together)


def test_the_last_strength_is_kept_where_none_will_do() -> None:
    calls = []

    def weak(places: np.ndarray, strengths: np.ndarray) -> np.ndarray:
        calls.append(strengths[0])
        return np.full(1, 0.01)

    (found,) = tune(weak, 1, 1.0)
    assert not found.converged
    assert len(calls) == found.steps == STEPS
    assert calls[0] == 100
    assert found.strength == calls[-1] == pytest.approx(10**HIGHEST, rel=0.02)
    assert sorted(calls) == calls
    (strong,) = tune(lambda places, s: np.full(1, 50.0), 1, 1.0)
    assert strong.strength == pytest.approx(10**LOWEST, rel=0.03)
    (nothing,) = tune(lambda places, s: np.zeros(1), 1, 1.0)
    assert not nothing.converged
    (broken,) = tune(lambda places, s: np.where(s > 1, np.nan, s**2), 1, 0.25)
    assert broken.converged, "what is no number is too strong"
    assert tune(weak, 0, 1.0) == []
