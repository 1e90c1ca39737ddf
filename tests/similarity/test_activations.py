import numpy as np
import pytest
from numpy.typing import NDArray

from stages.similarity import activations
from stages.similarity.activations import Correlation, Stored, cka, overlaps, products, why_not
from stages.similarity.match import match, nearest
from tests.similarity.stores import MemoryStore, random_store

N = 400


def stored(store: MemoryStore, n: int = N, events: int = 10**6) -> Stored:
    return Stored(store, n, events)  # type: ignore[arg-type]


def pearson(a: NDArray, b: NDArray) -> NDArray:
    return np.corrcoef(a.astype(np.float64), b.astype(np.float64))[: len(a), len(a) :]


def linear_cka(a: NDArray, b: NDArray) -> float:
    """Of two [latents, tokens] matrices, as its authors write it."""
    x, y = (m.astype(np.float64).T - m.astype(np.float64).T.mean(axis=0) for m in (a, b))
    return float(np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def whole(similarity: Correlation) -> NDArray:
    found = np.full((len(similarity.rows), len(similarity.columns)), np.nan)
    for row, column, values in similarity.blocks():
        part = found[row : row + values.shape[0], column : column + values.shape[1]]
        assert np.isnan(part).all(), "no cell comes twice"
        part[:] = values.numpy()
    assert not np.isnan(found).any()
    return found


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("cells", "events"), [(2**20, 10**6), (64, 90), (1, 1)])
def test_correlations_are_numpys_whatever_the_blocks(cells: int, events: int, signed: bool) -> None:
    a, b = random_store(1, 12, N, signed=signed), random_store(2, 9, N)
    similarity = Correlation(stored(a, events=events), stored(b, events=events), cells)
    expected = pearson(a.dense, b.dense)
    np.testing.assert_allclose(whole(similarity), expected, atol=1e-6)
    i, j = np.array([3, 3, 11, 0]), np.array([8, 0, 5, 0])
    np.testing.assert_allclose(similarity.pairs(i, j), expected[i, j], atol=1e-9)


def test_three_tokens_by_hand() -> None:
    a = stored(MemoryStore(np.array([[2, 0, 1, 0]], np.float32)), 4)
    b = stored(MemoryStore(np.array([[1, 0, 0, 3], [4, 0, 2, 0]], np.float32)), 4)
    found = overlaps(a, b, np.array([0, 0]), np.array([0, 1]))
    # means 3/4 and 1, sum of products 2; deviations sqrt(5/4 - 9/16) and sqrt(10/4 - 1)
    assert found.pearson == pytest.approx([(2 / 4 - 3 / 4) / np.sqrt((5 / 4 - 9 / 16) * (10 / 4 - 1)), 1])
    assert found.jaccard == pytest.approx([1 / 3, 1])


def test_special_positions_are_no_tokens() -> None:
    """Three of eight positions hold no ordinary token, so nothing ever fires there."""
    dense = random_store(1, 4, 5, 0.6).dense
    padded = np.concatenate([dense, np.zeros((4, 3), np.float32)], axis=1)
    whole_store, with_special = stored(MemoryStore(dense), 5), stored(MemoryStore(padded), 5)
    np.testing.assert_allclose(
        whole(Correlation(with_special, with_special)), whole(Correlation(whole_store, whole_store)), atol=1e-6
    )
    np.testing.assert_allclose(whole(Correlation(whole_store, whole_store)), pearson(dense, dense), atol=1e-6)


def test_silent_latents_have_no_correlation() -> None:
    dense = random_store(1, 5, N).dense
    dense[[1, 4]] = 0
    one, other = stored(MemoryStore(dense)), stored(random_store(2, 5, N))
    similarity = Correlation(one, other)
    assert similarity.rows.tolist() == [0, 2, 3]
    assert whole(similarity).shape == (3, 5)
    assert np.isnan(similarity.pairs(np.array([1, 2]), np.array([0, 0]))).tolist() == [True, False]
    assert set(match(similarity).latents_a.tolist()) == {0, 2, 3}
    small = Correlation(stored(MemoryStore(dense), events=1), other)
    np.testing.assert_array_equal(nearest(small).of_b, nearest(similarity).of_b)


def test_the_same_latents_in_another_order_are_found_again_by_their_activations() -> None:
    a = random_store(1, 30, N)
    order = np.random.default_rng(3).permutation(30)
    similarity = Correlation(stored(a), stored(MemoryStore(3 * a.dense[order])))
    found = match(similarity)
    np.testing.assert_array_equal(order[found.latents_b], found.latents_a)
    np.testing.assert_allclose(similarity.pairs(found.latents_a, found.latents_b), 1, atol=1e-6)
    assert overlaps(similarity._a, similarity._b, found.latents_a, found.latents_b).jaccard.min() == 1


@pytest.mark.parametrize("events", [10**6, 150])
def test_cka_is_that_of_the_dense_matrices(events: int) -> None:
    a, b = random_store(1, 12, N).dense, random_store(2, 9, N).dense
    b[:6] += a[:6]
    found = cka(stored(MemoryStore(a), events=events), stored(MemoryStore(b), events=events))
    assert found.value == pytest.approx(linear_cka(a, b), rel=1e-5)
    left_out = [linear_cka(np.delete(a, part, 1), np.delete(b, part, 1)) for part in np.split(np.arange(N), 10)]
    error = np.sqrt(9 * np.var(left_out))
    assert found.low == pytest.approx(found.value - 1.959964 * error, rel=1e-4)
    assert found.high == pytest.approx(found.value + 1.959964 * error, rel=1e-4)
    assert cka(stored(MemoryStore(b)), stored(MemoryStore(a))).value == pytest.approx(found.value, rel=1e-6)


def test_cka_of_a_coder_with_itself_in_another_order_and_scale_is_1() -> None:
    a = random_store(1, 12, N).dense
    found = cka(stored(MemoryStore(a)), stored(MemoryStore(5 * a[::-1])))
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1), abs=1e-5)


def test_parts_of_the_corpus_add_up() -> None:
    a, b = random_store(1, 6, 37, 0.6), random_store(2, 4, 37, 0.6)
    ((row, column, parts),) = products(stored(a, 37), stored(b, 37), 5)
    assert (row, column, len(parts)) == (0, 0, 5)
    np.testing.assert_allclose(np.sum(parts, axis=0), a.dense @ b.dense.T, rtol=1e-5)


def test_why_activations_can_not_be_compared() -> None:
    a, b = stored(random_store(1, 3, N)), stored(random_store(2, 3, N))
    assert why_not(a, b) is None
    silent = stored(MemoryStore(np.zeros((3, N), np.float32)))
    assert why_not(a, silent) == "no latent of one of the coders ever fires"
    b.store.meta["tokens_sha256"] = "1" * 64
    assert why_not(a, b) == "the coders' activations are of different tokens"


def test_many_pairs_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = stored(random_store(1, 20, N)), stored(random_store(2, 20, N))
    i, j = np.random.default_rng(0).integers(20, size=(2, 50))
    at_once = overlaps(a, b, i, j)
    monkeypatch.setattr(activations, "EVENTS", 100)
    found = overlaps(a, b, i, j)
    np.testing.assert_allclose(found.pearson, at_once.pearson)
    np.testing.assert_allclose(found.jaccard, at_once.jaccard)


@pytest.mark.parametrize("events", [10**6, 1])
def test_one_latent_alone(events: int) -> None:
    dense = random_store(1, 5, N).dense
    dense[1] = 0
    other = random_store(2, 4, N)
    similarity = Correlation(stored(MemoryStore(dense), events=events), stored(other, events=events))
    one = similarity.only(3)
    assert one.rows.tolist() == [3]
    np.testing.assert_allclose(whole(one), pearson(dense[3:4], other.dense), atol=1e-6)
    assert similarity.only(1).rows.tolist() == []
    assert similarity.rows.tolist() == [0, 2, 3, 4], "the whole stays as it was"
