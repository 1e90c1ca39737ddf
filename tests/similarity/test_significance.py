import numpy as np
import pytest
from numpy.typing import NDArray

from stages.similarity import significance as module
from stages.similarity.significance import alike, significance
from tests.similarity.test_meaning import mixed, vectors

Vectors = NDArray[np.float32]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERMUTATIONS", 399)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_near_explanations_are_joined_also_through_others() -> None:
    angles = np.radians([0, 15, 30, 90, 91])  # cos 15° = 0.966 joins, cos 30° = 0.87 does not
    found = alike(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
    assert len(set(found[:3].tolist())) == 1
    assert found[3] == found[4] != found[0]
    assert alike(np.empty((0, 2), np.float32)).tolist() == []


def test_latents_with_meanings_of_their_own_in_common() -> None:
    a = vectors(1, 60)
    found = significance(a, mixed(a, vectors(2, 60)), generator())
    assert found == (1 / 400, 60, 60, None)


def test_unrelated_latents_are_not_significant_more_often_than_by_chance() -> None:
    p = [significance(vectors(seed, 40), vectors(seed + 1000, 40), generator()).p for seed in range(40)]
    assert np.mean(np.array(p) < 0.1) < 0.25
    assert 0.3 < np.mean(p) < 0.8


def test_two_explanations_shared_by_all_prove_nothing_however_many_latents_say_them() -> None:
    """Matched latents always say the same, but of one another there are only two things to say."""
    two = vectors(1, 2)
    a = two[np.repeat([0, 1], 100)]
    found = significance(a, a, generator())
    assert (found.classes_a, found.classes_b) == (2, 2)
    assert found.p == pytest.approx(0.5, abs=0.08)


def test_a_generic_explanation_of_most_latents_makes_unrelated_matches_no_better() -> None:
    """Three quarters of the latents of either coder say one thing, so half of all random pairs say the same."""
    p = []
    for seed in range(30):
        a, b = vectors(seed, 80), vectors(seed + 500, 80)
        generic = vectors(999, 1)[0]
        draw = np.random.default_rng(seed)
        a[draw.permutation(80)[:60]] = generic
        b[draw.permutation(80)[:60]] = generic
        p.append(significance(a, b, generator()).p)
    assert np.mean(np.array(p) < 0.1) < 0.25


def test_specific_meanings_are_found_beside_a_generic_one() -> None:
    a = vectors(1, 80)
    b = mixed(a, vectors(2, 80))
    a[:50] = b[30:] = vectors(3, 1)[0]
    a[50:], b[:30] = vectors(4, 30), vectors(5, 30)
    assert significance(a, b, generator()).p > 0.05
    b[30:], b[50:] = vectors(6, 50), a[50:]
    assert significance(a, b, generator()).p < 0.01


@pytest.mark.parametrize("n", [0, 1, 5])
def test_without_two_classes_there_is_a_reason(n: int) -> None:
    same = np.repeat(vectors(1, 1), n, axis=0)
    found = significance(same, vectors(2, n), generator())
    assert (found.p, found.classes_a) == (None, min(n, 1))
    assert found.reason == "all explanations of a coder say nearly the same, or there is but one"


def test_swapping_the_coders_changes_p_by_chance_only() -> None:
    a, b = vectors(1, 30, 8), vectors(2, 30, 8)
    b = mixed(a, 3 * b)
    one, other = significance(a, b, generator()), significance(b, a, generator())
    assert one.p == pytest.approx(other.p, abs=0.06)
