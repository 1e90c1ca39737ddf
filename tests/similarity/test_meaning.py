import numpy as np
import pytest
from numpy.typing import NDArray

from stages.similarity import meaning as module
from stages.similarity.meaning import Meaning, meaning

AXES = np.eye(3, dtype=np.float32)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def vectors(seed: int, n: int = 200, width: int = 64) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).normal(size=(n, width))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def mixed(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return (a + b) / np.linalg.norm(a + b, axis=1, keepdims=True)


def compare(a: NDArray[np.float32], b: NDArray[np.float32], **classes: tuple[list[int], list[int]]) -> Meaning:
    of = {name: (np.array(x), np.array(y)) for name, (x, y) in classes.items()}
    return meaning(a, b, of, (a, b), generator())


def test_the_same_explanations_of_two_different_things() -> None:
    found = compare(AXES[:2], AXES[:2])
    assert found.cosine == (1.0, 1.0, 1.0, 2, None)
    assert found.floors["random"] == (0.0, 0.0, 0.0, 2, None)
    # dealt out anew, both are in their places or both are not
    assert found.floors["shuffled"] == (0.5, 0.0, 1.0, 2, None)


def test_three_pairs_by_hand() -> None:
    found = compare(AXES, AXES[[0, 1, 0]])
    assert found.cosine.n == 3
    assert found.cosine.value == pytest.approx(2 / 3)
    # three draws of (1, 1, 0): none is a 1 in one of 27 cases
    assert (found.cosine.low, found.cosine.high) == pytest.approx((0, 1))
    random = found.floors["random"]
    # of the six pairs that are not matched only (0, 2) says the same; the first row draws it every other time
    assert random.value == pytest.approx(1 / 6)
    assert (random.low, random.high) == pytest.approx((0, 1 / 3))
    # each of the three meets each of the other three in one of nine pairs, and three of these say the same
    assert found.floors["shuffled"].value == pytest.approx(3 / 9)


def test_a_class_keeps_to_itself_by_hand() -> None:
    a, b = AXES[[0, 0, 1, 1]], AXES[[0, 0, 1, 2]]
    found = compare(a, b, kind=([0, 0, 1, 1], [0, 0, 1, 1]), mixed=([0, 1, -1, -1], [1, 0, -1, 0]))
    # within a class: 0 meets 1 and 1 meets 0 (both the same), 2 meets 3 (not), 3 meets 2 (the same)
    assert found.floors["kind"].value == pytest.approx(3 / 4)
    # 0 may only meet 1 and 3 (the same, not); 1 only 0 (the same); the others belong to no class
    assert found.floors["mixed"].value == pytest.approx((1 / 2 + 1) / 2)
    assert found.floors["mixed"].n == 2
    # of the twelve pairs that are not matched, (0, 1), (1, 0) and (3, 2) say the same
    assert found.floors["random"].value == pytest.approx(3 / 12)


def test_a_class_of_one_has_no_floor_but_a_reason() -> None:
    found = compare(AXES, AXES, kind=([0, 1, 2], [0, 1, 2]))
    assert found.floors["kind"] == (None, None, None, 0, "no two pairs can be exchanged")


@pytest.mark.parametrize(("n", "said"), [(0, "no matched pair has"), (1, "only one matched pair has")])
def test_fewer_than_two_pairs_have_no_value_but_a_reason(n: int, said: str) -> None:
    found = compare(AXES[:n], AXES[:n], kind=([0] * n, [0] * n))
    reason = f"{said} both explanations, and two are needed"
    assert found.cosine == (None, None, None, n, reason)
    assert found.floors == dict.fromkeys(("random", "shuffled", "kind"), found.cosine)


def test_unrelated_explanations_are_at_the_floors() -> None:
    a, b = vectors(1), vectors(2)
    found = compare(a, b)
    assert found.cosine.value == pytest.approx(0, abs=0.03)
    width = 2 * 1.96 / (64 * 200) ** 0.5  # a mean of 200 cosines with variance 1/64
    assert found.cosine.high - found.cosine.low == pytest.approx(width, rel=0.2)
    for floor in found.floors.values():
        assert floor.value == pytest.approx(0, abs=0.01)
        assert floor.high - floor.low == pytest.approx(width, rel=0.15)
        assert floor.low < found.cosine.value < floor.high


def test_related_explanations_are_above_them() -> None:
    a, noise = vectors(1), vectors(2)
    found = compare(a, mixed(a, noise))
    assert found.cosine.low < found.cosine.value < found.cosine.high
    assert found.cosine.value == pytest.approx(0.5**0.5, abs=0.02)
    assert found.floors["random"].high < 0.05


def test_of_many_pairs_a_sample_makes_the_floors(monkeypatch: pytest.MonkeyPatch) -> None:
    a, noise = vectors(1), vectors(2)
    whole = compare(a, mixed(a, noise))
    monkeypatch.setattr(module, "MOST", 60)
    part = compare(a, mixed(a, noise))
    assert part.cosine.value == whole.cosine.value
    assert part.floors["random"].n == 60
    for name, floor in part.floors.items():
        assert floor.value == pytest.approx(whole.floors[name].value, abs=0.02)
    # 200 pairs are drawn, though from 60 rows: the range is that of all pairs
    width = whole.floors["random"].high - whole.floors["random"].low
    assert part.floors["random"].high - part.floors["random"].low == pytest.approx(width, rel=0.25)


def test_swapping_the_coders_changes_no_mean() -> None:
    a, b = vectors(1, 20, 8), vectors(2, 20, 8)
    one, other = compare(a, b), compare(b, a)
    assert one.cosine.value == pytest.approx(other.cosine.value)
    for name, floor in one.floors.items():
        assert floor.value == pytest.approx(other.floors[name].value, abs=1e-6)


def test_the_order_of_pairs_changes_no_mean() -> None:
    a, b = vectors(1, 20, 8), vectors(2, 20, 8)
    order = np.random.default_rng(3).permutation(20)
    one, other = compare(a, b), compare(a[order], b[order])
    assert one.cosine.value == pytest.approx(other.cosine.value)
    for name, floor in one.floors.items():
        assert floor.value == pytest.approx(other.floors[name].value, abs=1e-6)


def test_the_same_seed_gives_the_same_numbers() -> None:
    a, b = vectors(1, 20, 8), vectors(2, 20, 8)
    assert compare(a, b) == compare(a, b)
    assert compare(a, b) != meaning(a, b, {}, (a, b), np.random.default_rng(1))
