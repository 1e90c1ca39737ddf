"""What a judge of marks is shown."""

import re
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import params, scorers
from stages.examples.marks import CLOSE, OPEN, Shown, Unit
from stages.examples.table import LatentExamples, Windows
from stages.scorers import Context, Item
from stages.scorers.fuzzing import MISMARKED, windows
from stages.scorers.marking import TRIES, like, masks_of, moved
from stages.scorers.shown import Example
from stages.scorers.table import OWN
from tests.scorers import planted

FILLER = " sun"
SIZE = 24


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def shown(examples: LatentExamples, mismarked: float = 0.2, seed: int = 0) -> list[Example]:
    return windows(Item(examples, "", OWN), planted.vocabulary(), 0.3, mismarked, rng(seed))


def runs(mask: list[bool]) -> list[int]:
    return sorted(len(list(group)) for is_marked, group in groupby(mask) if is_marked)


def test_a_share_of_the_test_windows_is_marked_wrongly_and_no_window_is_shown_twice() -> None:
    found = shown(planted.latent(7, fires_on=1, n=20))
    assert len({example.window for example in found}) == len(found) == 40
    sorts = [(example.role, example.kind, example.active) for example in found]
    assert sorts.count(("test", None, True)) == 16
    assert sorts.count(("test", MISMARKED, False)) == 4
    assert sorts.count(("negative", "random", False)) == 20
    for example in found:
        (inside,) = re.findall(f"{OPEN}(.*?){CLOSE}", example.text)
        assert (inside == " cat") is example.active
        assert (" cat" in example.text) is (example.role == "test")
    assert all(1 <= example.decile <= 10 for example in found if example.role == "test")
    assert not [example for example in shown(planted.latent(7, fires_on=1), mismarked=0) if example.kind == MISMARKED]


units = st.lists(st.tuples(st.sampled_from([0.0, 0.0, 1.0, 5.0]), st.booleans()), min_size=1, max_size=12).map(
    lambda found: [Unit("x", 0.0 if special else activation, special) for activation, special in found]
)


def filled(windows: list[list[Unit]]) -> Shown:
    """Windows of different lengths, filled up."""
    width = max(map(len, windows))
    rows = [[*window, *[Unit("", 0.0)] * (width - len(window))] for window in windows]
    columns = [np.array([[unit[part] for unit in row] for row in rows], kind) for part, kind in enumerate(TYPES)]
    return Shown(*columns, np.array(list(map(len, windows))))


TYPES = (object, float, bool)


def free(window: list[Unit]) -> np.ndarray:
    return np.array([unit.activation == 0 and not unit.special for unit in window])


@given(units, st.integers(0, 10))
def test_moved_marks_are_of_the_same_lengths_and_never_where_the_latent_fires(window: list[Unit], seed: int) -> None:
    (mask,) = masks_of(filled([window]), 0.3)
    other = moved(mask, free(window), rng(seed))
    if other is not None:
        assert runs(other.tolist()) == runs(mask.tolist()) != []
        assert not any(mark and (unit.activation > 0 or unit.special) for mark, unit in zip(other, window, strict=True))


@given(units, st.integers(0, 10))
def test_marks_are_moved_to_any_place_that_they_fit_with_the_same_chance(window: list[Unit], seed: int) -> None:
    """As one would write it down, place by place."""

    def placed(generator: np.random.Generator) -> list[bool] | None:
        found = [False] * len(window)
        for length in sorted(runs(mask.tolist()), reverse=True):
            starts = [
                start
                for start in range(len(window) - length + 1)
                if all(room[start : start + length]) and not any(found[max(0, start - 1) : start + length + 1])
            ]
            if not starts:
                return None
            start = starts[generator.integers(len(starts))]
            found[start : start + length] = [True] * length
        return found

    (mask,), room = masks_of(filled([window]), 0.3), free(window).tolist()
    found, generator = moved(mask, free(window), rng(seed)), rng(seed)
    due = next((one for _ in range(TRIES) if (one := placed(generator)) is not None), None) if mask.any() else None
    assert (None if found is None else found.tolist()) == due


@given(st.lists(units, min_size=1, max_size=5), st.lists(units, min_size=1, max_size=5), st.integers(0, 10))
def test_borrowed_marks_are_those_of_a_test_window(
    found: list[list[Unit]], windows: list[list[Unit]], seed: int
) -> None:
    masks = masks_of(filled(found), 0.3)
    there, borrowed = like(masks, filled(windows), rng(seed))
    for place, window in enumerate(windows):
        room = [not unit.special for unit in window]
        fitting = [[mark and ok for mark, ok in zip(mask, room, strict=False)] for mask in masks.tolist()]
        if place not in there:
            assert not any(map(any, fitting))
            continue
        (row,) = borrowed[there == place].tolist()
        marks = {at for at, mark in enumerate(row) if mark}
        assert marks
        assert max(marks) < len(window)
        assert not any(window[at].special for at in marks)
        whole = [mask for mask, part in zip(masks.tolist(), fitting, strict=True) if sum(mask) == sum(part) > 0]
        like_one = [set(np.flatnonzero(mask)) for mask in (whole or masks.tolist())]
        assert any(marks == mask if whole else marks <= mask for mask in like_one)


@given(st.lists(units, min_size=1, max_size=5), st.lists(units, min_size=1, max_size=5), st.integers(0, 10))
def test_marks_are_borrowed_window_by_window(found: list[list[Unit]], windows: list[list[Unit]], seed: int) -> None:
    masks, together, apart = masks_of(filled(found), 0.3), rng(seed), rng(seed)
    there, borrowed = like(masks, filled(windows), together)
    alone = [like(masks, filled([window]), apart) for window in windows]
    assert there.tolist() == [place for place, (fits, _) in enumerate(alone) if len(fits)]
    for row, place in zip(borrowed.tolist(), there.tolist(), strict=True):
        (own,) = alone[place][1].tolist()
        assert row[: len(own)] == own
        assert not any(row[len(own) :])
    assert together.integers(2**40) == apart.integers(2**40)


def test_a_window_without_room_stays_marked_rightly() -> None:
    assert moved(np.ones(4, bool), np.zeros(4, bool), rng()) is None
    assert moved(np.zeros(4, bool), np.ones(4, bool), rng()) is None
    assert moved(np.array([True, True, False, False]), np.array([False, False, True, False]), rng()) is None


def irregular(number: int) -> LatentExamples:
    """A latent that fires once or twice in a window, on runs of one to three tokens, anywhere."""
    generator = rng(number)

    def made(n: int, first: int, fires: bool) -> Windows:
        activations = np.zeros((n, SIZE), np.float32)
        for row in activations if fires else ():
            for _ in range(generator.integers(1, 3)):
                start = generator.integers(SIZE)
                row[start : start + generator.integers(1, 4)] = generator.uniform(1, 5)
        tokens = np.full((n, SIZE), 3, np.int32)
        kinds: list[str | None] = [None if fires else "random"] * n
        return Windows(np.arange(first, first + n), np.ones(n, np.int8), tokens, activations, kinds)

    return LatentExamples(number, {}, made(0, 0, False), made(40, 0, True), made(40, 100, False))


@pytest.fixture(scope="module")
def marks() -> list[tuple[str | None, bool, list[bool]]]:
    """(kind, label, which tokens are marked) of the examples of many latents, whose text says nothing."""
    found = []
    for number in range(60):
        for example in shown(irregular(number), mismarked=0.4, seed=number):
            inside, mask = False, []
            for piece in re.findall(f"{OPEN}|{CLOSE}|{FILLER}", example.text):
                inside = {OPEN: True, CLOSE: False}.get(piece, inside)
                mask += [inside] if piece == FILLER else []
            assert len(mask) == SIZE
            found.append((example.kind, example.active, mask))
    return found


def features(mask: list[bool]) -> list[float]:
    lengths, places = runs(mask), np.flatnonzero(mask)
    return [len(lengths), sum(mask), max(lengths), places.min(), places.max(), places.mean(), np.ptp(places)]


@pytest.mark.parametrize("kind", ["random", MISMARKED])
def test_marks_alone_tell_nothing(marks: list[tuple[str | None, bool, list[bool]]], kind: str) -> None:
    """A classifier that sees number, lengths and places of marks does not beat chance on latents that it has not seen."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    chosen = [(label, features(mask)) for found, label, mask in marks if found in (None, kind)]
    truth, seen = np.array([label for label, _ in chosen]), np.array([found for _, found in chosen])
    half = len(chosen) // 2
    model = RandomForestClassifier(50, min_samples_leaf=10, random_state=0).fit(seen[:half], truth[:half])
    assert roc_auc_score(truth[half:], model.predict_proba(seen[half:])[:, 1]) == pytest.approx(0.5, abs=0.05)


def test_the_number_of_marks_is_alike_for_every_label(marks: list[tuple[str | None, bool, list[bool]]]) -> None:
    by_kind: dict[str | None, list[int]] = {}
    for kind, _, mask in marks:
        by_kind.setdefault(kind, []).append(sum(mask))
    assert np.mean(by_kind["random"]) == pytest.approx(np.mean(by_kind[None]), abs=0.15)
    assert np.mean(by_kind[MISMARKED]) == pytest.approx(np.mean(by_kind[None]), abs=0.15)


def test_marks_of_the_corpus_are_neutralised_and_runs_share_a_pair() -> None:
    vocabulary = planted.vocabulary()
    vocabulary.spellings[3] = " \u00absun\u00bb".encode()
    tokens, activations = np.array([[1, 2, 3, 4]], np.int32), np.array([[4, 5, 0, 2]], np.float32)
    test = Windows(np.array([0]), np.array([1], np.int8), tokens, activations, [None])
    none = planted.windows(0, None, 0, 0)
    (example,) = windows(Item(LatentExamples(1, {}, none, test, none), "", OWN), vocabulary, 0.3, 0.2, rng())
    assert example.text == f"{OPEN} cat dog{CLOSE} \u2039sun\u203a{OPEN} sea{CLOSE}"


def test_special_tokens_are_neither_shown_nor_marked() -> None:
    examples = planted.latent(7, fires_on=1)
    examples.negative.tokens[:, 3] = 0
    found = shown(examples)
    assert len(found) == 40
    assert all("<end>" not in example.text and f"{OPEN}{CLOSE}" not in example.text for example in found)
    assert all(f"{OPEN}\n" not in example.text for example in found)


def test_a_mark_never_breaks_a_character() -> None:
    whole = filled([[Unit("é", 2.0), Unit("!", 0.0)]])
    assert whole.marked(masks_of(whole, 0.3)) == [f"{OPEN}é{CLOSE}!"]


@pytest.mark.parametrize(("centre", "share"), [(None, 0.2), (3, 0.0)])
def test_where_windows_are_centred_none_is_marked_wrongly(centre: int | None, share: float) -> None:
    """A mark off the centre would give itself away."""
    p = params.Params.model_construct(sampling=params.Sampling(latents="all", centre=centre))
    scorer = scorers.load("x", {"kind": "fuzzing", "model": {"provider": "pattern"}})
    found = scorer.score([Item(planted.latent(7, fires_on=1), "", OWN)], Context(planted.vocabulary(), 0, p=p))
    assert found.facts[MISMARKED] == share
    assert found.verdicts["kind"].to_pylist().count(MISMARKED) == 20 * share
