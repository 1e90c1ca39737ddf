from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.errors import GlossaError
from stages.similarity import match as module
from stages.similarity.match import match, unit


def directions(seed: int, latents: int = 100, width: int = 32) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(latents, width)).astype(np.float32)


def at(*degrees: float) -> NDArray[np.float64]:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def cosine(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))


def test_the_sum_counts_and_not_the_best_pair() -> None:
    # cosines of angles 10, 50 / 30, 90: the best pair (10) would leave the worst (90)
    found = match(3 * at(0, 40), at(10, -50) / 7)
    assert found.latents_a.tolist() == [0, 1]
    assert found.latents_b.tolist() == [1, 0]
    np.testing.assert_allclose(found.cosines, [cosine(50), cosine(30)], atol=1e-6)
    assert found.random_cosine == pytest.approx((cosine(10) + cosine(90)) / 2, abs=1e-6)
    assert (found.latents_a.dtype, found.latents_b.dtype, found.cosines.dtype) == (np.int32, np.int32, np.float32)


def test_two_latents_against_three() -> None:
    found = match(at(0, 90), at(80, 180, 20))
    assert list(zip(found.latents_a, found.latents_b, strict=True)) == [(0, 2), (1, 0)]
    np.testing.assert_allclose(found.cosines, [cosine(20), cosine(10)], atol=1e-6)
    assert found.random_cosine == pytest.approx((cosine(80) - 1 + 0 + cosine(70)) / 4, abs=1e-6)
    turned = match(at(80, 180, 20), at(0, 90))
    assert list(zip(turned.latents_a, turned.latents_b, strict=True)) == [(0, 1), (2, 0)]


def test_one_latent_against_one_has_no_other_pair() -> None:
    found = match(at(0), at(60))
    assert found.cosines.tolist() == pytest.approx([0.5])
    assert found.random_cosine is None


def test_a_permuted_coder_is_found_again_whatever_its_norms() -> None:
    a, order = directions(0), np.random.default_rng(1).permutation(100)
    scales = np.random.default_rng(2).uniform(0.1, 10, size=(100, 1))
    found = match(a, (a * scales)[order])
    np.testing.assert_array_equal(order[found.latents_b], found.latents_a)
    np.testing.assert_allclose(found.cosines, 1, atol=1e-5)


def test_noise_lowers_the_cosine_bit_by_bit() -> None:
    a, noise = directions(0, latents=300), directions(1, latents=300)
    levels = [0.0, 0.1, 0.3, 0.6, 1.0]
    means = [float(match(a, a + level * noise).cosines.mean()) for level in levels]
    assert all(later < earlier for earlier, later in pairwise(means))
    # while the right partner is found, the cosine is 1 / sqrt(1 + level²)
    assert means[:4] == pytest.approx([1 / (1 + level**2) ** 0.5 for level in levels[:4]], abs=0.02)


def test_swapping_the_coders_gives_the_same_pairs() -> None:
    a, b = directions(0, latents=40), directions(1, latents=60)
    one, other = match(a, b), match(b, a)
    pairs = set(zip(one.latents_a.tolist(), one.latents_b.tolist(), strict=True))
    assert pairs == set(zip(other.latents_b.tolist(), other.latents_a.tolist(), strict=True))
    assert one.random_cosine == pytest.approx(other.random_cosine, abs=1e-6)


def test_random_pairs_of_random_coders_are_orthogonal_on_average() -> None:
    found = match(directions(0, latents=400, width=64), directions(1, latents=400, width=64))
    assert abs(found.random_cosine or 1) < 0.005
    assert found.cosines.mean() > 0.2  # chance alone lets the best partner look alike


def test_a_latent_that_writes_nothing_has_the_cosine_0() -> None:
    found = match(np.array([[0.0, 0.0], [1.0, 0.0]]), at(0, 90))
    assert found.cosines.tolist() == [0.0, 1.0]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_matching_is_one_to_one_and_no_worse_than_in_order(n_a: int, n_b: int, seed: int) -> None:
    a, b = directions(seed, n_a, 4), directions(seed + 1, n_b, 4)
    found = match(a, b)
    n = min(n_a, n_b)
    assert len(set(found.latents_a.tolist())) == len(set(found.latents_b.tolist())) == len(found.cosines) == n
    assert found.latents_a.tolist() == sorted(found.latents_a.tolist())
    in_order = (unit(a)[:n] * unit(b)[:n]).sum()
    assert found.cosines.sum() >= in_order - 1e-4


def test_other_widths_and_too_many_latents_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GlossaError, match="should have the same width to be compared, found 4 and 5"):
        match(directions(0, 3, 4), directions(0, 3, 5))
    monkeypatch.setattr(module, "MOST_CELLS", 8)
    with pytest.raises(GlossaError, match="at most 8 pairs of latents can be weighed, found 3 by 3"):
        match(directions(0, 3, 4), directions(1, 3, 4))
