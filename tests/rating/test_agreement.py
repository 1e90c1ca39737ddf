from __future__ import annotations

import numpy as np
import pytest

from stages.rating.agreement import NO_CHOICE, NOTHING, agreement

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), part C: four observers, twelve units, 0 where there is no value.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]
UNITS = [[value for value in unit if value] for unit in zip(*OBSERVERS, strict=True)]


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_published_example() -> None:
    found = agreement(UNITS, range(1, 6), generator())
    assert found.alpha.value == pytest.approx(0.815, abs=5e-4)
    assert found.n == 11  # the last has one value
    assert found.alpha.low is not None
    assert found.alpha.high is not None
    assert found.alpha.low < 0.815 < found.alpha.high <= 1


def test_a_pair_by_hand() -> None:
    # Of four things two raters gave the same to three.
    found = agreement([[1, 1], [2, 2], [4, 4], [1, 2]], range(1, 5), generator())
    assert found.same == 0.75
    # Totals 3, 3, 0, 2: distance of 1 and 2 is 3, of 2 and 4 2.5, of 1 and 4 5.5; observed 2 * 9, expected 2 * (81 + 6 * 30.25 + 6 * 6.25).
    assert found.alpha.value == pytest.approx(1 - 7 * 18 / (2 * (9 * 9 + 6 * 30.25 + 6 * 6.25)))


def test_what_is_undefined_has_a_reason() -> None:
    assert agreement([[1], [2], []], range(1, 5), generator()).alpha.reason == NOTHING
    same = agreement([[3, 3], [3, 3, 3]], range(1, 5), generator())
    assert (same.alpha.value, same.alpha.reason, same.same, same.n) == (None, NO_CHOICE, 1.0, 2)
    assert agreement([[1, 1], [4, 4]], range(1, 5), generator()).alpha.value == 1


def test_chance_comes_to_nothing() -> None:
    drawn = np.random.default_rng(1).integers(1, 5, size=(2000, 2)).tolist()
    assert agreement(drawn, range(1, 5), generator()).alpha.value == pytest.approx(0, abs=0.05)
