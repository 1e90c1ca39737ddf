from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from stages.similarity import match as module
from stages.similarity.blocks import Cosine, unit
from stages.similarity.match import assign, match, mutual, nearest


def directions(seed: int, latents: int = 100, width: int = 32) -> Tensor:
    return torch.randn(latents, width, generator=torch.Generator().manual_seed(seed))


def at(*degrees: float) -> Tensor:
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([torch.cos(angles), torch.sin(angles)], dim=1)


def cosine(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))


def of(a: Tensor, b: Tensor, cells: int = 2**20) -> Cosine:
    return Cosine([(unit(a), unit(b))], cells=cells)


def pairs(similarity: Cosine) -> tuple[list[tuple[int, int]], list[float]]:
    found = match(similarity)
    values = similarity.pairs(found.latents_a, found.latents_b)
    return list(zip(found.latents_a.tolist(), found.latents_b.tolist(), strict=True)), values.tolist()


def test_the_sum_counts_and_not_the_best_pair() -> None:
    # cosines of angles 10, 50 / 30, 90: the best pair (10) would leave the worst (90)
    found, values = pairs(of(3 * at(0, 40), at(10, -50) / 7))
    assert found == [(0, 1), (1, 0)]
    np.testing.assert_allclose(values, [cosine(50), cosine(30)], atol=1e-6)


@pytest.mark.parametrize("cells", [1, 4, 2**20])
def test_two_latents_against_three(cells: int) -> None:
    found, values = pairs(of(at(0, 90), at(80, 180, 20), cells))
    assert found == [(0, 2), (1, 0)]
    np.testing.assert_allclose(values, [cosine(20), cosine(10)], atol=1e-6)
    assert pairs(of(at(80, 180, 20), at(0, 90), cells))[0] == [(0, 1), (2, 0)]


def test_each_others_nearest_by_hand() -> None:
    # 0 and 12 are nearest to each other; 30 is nearest to 12 too, which prefers 0; 100 and 95 to each other
    similarity = of(at(0, 30, 100), at(12, 95))
    found = nearest(similarity)
    assert (found.of_a.tolist(), found.of_b.tolist()) == ([0, 0, 1], [0, 2])
    np.testing.assert_allclose(found.values_a, [cosine(12), cosine(18), cosine(5)], atol=1e-6)
    matches = mutual(similarity, found)
    assert (matches.latents_a.tolist(), matches.latents_b.tolist(), matches.method) == ([0, 2], [0, 1], "mutual")


def test_beyond_what_fits_each_others_nearest_are_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    a = directions(0)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    assert match(of(a, a[order])).method == "assignment"
    monkeypatch.setattr(module, "MOST", 99)
    found = match(of(a, a[order], cells=700))
    assert found.method == "mutual"
    np.testing.assert_array_equal(order[found.latents_b], found.latents_a)
    assert len(found.latents_a) == 100


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 200), st.integers(0, 2**31))
def test_blocks_of_any_size_give_what_the_whole_matrix_gives(n_a: int, n_b: int, cells: int, seed: int) -> None:
    a, b = unit(directions(seed, n_a, 5)), unit(directions(seed + 1, n_b, 5))
    whole = (a @ b.T).numpy()
    similarity = Cosine([(a, b)], cells=cells)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STRIP", 1 + cells % 7)
        found = nearest(similarity)
    np.testing.assert_array_equal(found.of_a, whole.argmax(axis=1))
    np.testing.assert_array_equal(found.of_b, whole.argmax(axis=0))
    np.testing.assert_allclose(found.values_a, whole.max(axis=1), atol=1e-6)
    both = [(i, j) for i, j in enumerate(whole.argmax(axis=1)) if whole.argmax(axis=0)[j] == i]
    matches = mutual(similarity, found)
    assert list(zip(matches.latents_a, matches.latents_b, strict=True)) == both
    rows, columns = linear_sum_assignment(whole, maximize=True)
    matches = assign(similarity)
    assert (matches.latents_a.tolist(), matches.latents_b.tolist()) == (rows.tolist(), columns.tolist())
    np.testing.assert_allclose(similarity.pairs(rows, columns), whole[rows, columns], atol=1e-6)


def test_a_permuted_coder_is_found_again_whatever_its_norms() -> None:
    a, order = directions(0), torch.randperm(100, generator=torch.Generator().manual_seed(1))
    scales = torch.rand(100, 1, generator=torch.Generator().manual_seed(2)) * 10 + 0.1
    similarity = of(a, (a * scales)[order])
    found = match(similarity)
    np.testing.assert_array_equal(order[found.latents_b], found.latents_a)
    np.testing.assert_allclose(similarity.pairs(found.latents_a, found.latents_b), 1, atol=1e-5)


def test_noise_lowers_the_cosine_bit_by_bit() -> None:
    a, noise = directions(0, latents=300), directions(1, latents=300)
    levels = [0.0, 0.1, 0.3, 0.6, 1.0]
    means = [float(np.mean(pairs(of(a, a + level * noise))[1])) for level in levels]
    assert all(later < earlier for earlier, later in pairwise(means))
    # while the right partner is found, the cosine is 1 / sqrt(1 + level²)
    assert means[:4] == pytest.approx([1 / (1 + level**2) ** 0.5 for level in levels[:4]], abs=0.02)


@pytest.mark.parametrize("degrees", [0, 20, 40, 60])
def test_a_rotated_coder_is_as_far_away_as_it_was_turned(degrees: float) -> None:
    """All its directions turn by one angle: in each of 16 planes that share no direction."""
    a, order = unit(directions(0)), torch.randperm(100, generator=torch.Generator().manual_seed(1))
    turn = torch.block_diag(*[at(degrees, degrees + 90).float()] * 16)
    similarity = of(a, (a @ turn)[order])
    right = similarity.pairs(order.numpy(), np.arange(100))
    np.testing.assert_allclose(right, cosine(degrees), atol=1e-6)
    found = match(similarity)
    if degrees < 60:  # then its own image is nearest to every latent
        np.testing.assert_array_equal(order[found.latents_b], found.latents_a)


def test_blocks_of_a_real_width_give_the_pairs_of_the_whole_matrix() -> None:
    a = directions(0, 500, 768)
    b = (a + directions(1, 500, 768))[torch.randperm(500, generator=torch.Generator().manual_seed(1))]
    whole, blocked, single = (of(a, b, cells) for cells in (500 * 500, 500 * 70 + 3, 500))
    for matching in (assign, lambda s: mutual(s, nearest(s))):
        expected = matching(whole)
        for similarity in (blocked, single):
            found = matching(similarity)
            np.testing.assert_array_equal(found.latents_a, expected.latents_a)
            np.testing.assert_array_equal(found.latents_b, expected.latents_b)
            values = [s.pairs(found.latents_a, found.latents_b).tobytes() for s in (similarity, whole)]
            assert values[0] == values[1]


def test_another_seed_is_matched_no_better_than_chance_lets() -> None:
    found = match(of(directions(0, 400, 64), directions(1, 400, 64)))
    assert (found.latents_a == found.latents_b).mean() < 0.02
    values = of(directions(0, 400, 64), directions(1, 400, 64)).pairs(found.latents_a, found.latents_b)
    # the largest of 400 cosines of variance 1/64 is about sqrt(2 ln 400 / 64) = 0.43; an assignment can't reach it
    assert 0.25 < values.mean() < 0.43


def test_swapping_the_coders_gives_the_same_pairs() -> None:
    a, b = directions(0, latents=40), directions(1, latents=60)
    one, other = match(of(a, b)), match(of(b, a))
    found = set(zip(one.latents_a.tolist(), one.latents_b.tolist(), strict=True))
    assert found == set(zip(other.latents_b.tolist(), other.latents_a.tolist(), strict=True))


@pytest.mark.parametrize("matching", [assign, lambda s: mutual(s, nearest(s))])
def test_the_order_of_latents_changes_no_pair(matching) -> None:
    a, b = directions(0, latents=40), directions(1, latents=60)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    one, other = matching(of(a, b)), matching(of(a[order], b))
    again = sorted(zip(order[other.latents_a].tolist(), other.latents_b.tolist(), strict=True))
    assert again == list(zip(one.latents_a.tolist(), one.latents_b.tolist(), strict=True))


def test_the_mean_of_two_similarities_decides() -> None:
    # by the first the latents match in order, by the second crosswise and more clearly
    first, second = (at(0, 90), at(30, 120)), (at(0, 90), at(90, 0))
    similarity = Cosine([(unit(x), unit(y)) for x, y in (first, second)])
    found, values = pairs(similarity)
    assert found == [(0, 1), (1, 0)]
    np.testing.assert_allclose(values, [(cosine(120) + 1) / 2, (cosine(60) + 1) / 2], atol=1e-6)


def test_latents_that_have_no_such_similarity_are_left_out() -> None:
    similarity = Cosine([(unit(at(0, 90)), unit(at(80, 5)))], np.array([3, 7]), np.array([2, 4]))
    found, values = pairs(similarity)
    assert found == [(3, 4), (7, 2)]
    np.testing.assert_allclose(values, [cosine(5), cosine(10)], atol=1e-6)
    values = similarity.pairs(np.array([3, 5, 7]), np.array([2, 2, 9]))
    assert values[0] == pytest.approx(cosine(80))
    assert np.isnan(values).tolist() == [False, True, True]


def test_a_latent_that_writes_nothing_has_the_cosine_0() -> None:
    similarity = of(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), at(0, 90))
    assert similarity.pairs(np.array([0, 1]), np.array([1, 0])).tolist() == [0.0, 1.0]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31))
def test_matching_is_one_to_one_and_no_worse_than_in_order(n_a: int, n_b: int, seed: int) -> None:
    similarity = of(directions(seed, n_a, 4), directions(seed + 1, n_b, 4))
    found = match(similarity)
    n = min(n_a, n_b)
    assert len(set(found.latents_a.tolist())) == len(set(found.latents_b.tolist())) == len(found.latents_a) == n
    assert found.latents_a.tolist() == sorted(found.latents_a.tolist())
    in_order = similarity.pairs(np.arange(n), np.arange(n)).sum()
    assert similarity.pairs(found.latents_a, found.latents_b).sum() >= in_order - 1e-4
