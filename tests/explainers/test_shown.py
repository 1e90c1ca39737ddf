from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import explainers, registry
from stages.corpus.tokens import Vocabulary
from stages.examples.table import LatentExamples, Windows
from stages.explainers import shown
from tests.explainers.small import WRITER, Corpus, Small, Writer, explain, read, small
from tests.text.test_sanitise import ANY, NASTY


def lines(texts: list[str], fires: dict[str, float], peak: float, threshold: float = 0.3) -> list[str]:
    latent, tokens = small(texts, fires, peak)
    return shown.firing(latent.train, range(len(texts)), tokens.vocabulary, threshold, peak)


def test_marks_and_strengths_by_hand() -> None:
    assert lines(["the cat sat on the mat"], {" cat": 4.0, " sat": 1.0, " mat": 2.0}, peak=8.0) == [
        'Text 1: "the« cat» sat on the« mat»"',  # 1.0 is below 0.3 * 4.0
        'Firing: " cat" 5, " mat" 2',  # tenths of 8.0: 5.0 and 2.5
    ]


def test_a_token_at_the_threshold_is_not_marked_and_one_above_it_is() -> None:
    above = float(np.nextafter(np.float32(3), np.float32(4)))
    assert lines(["a b c"], {" b": 10.0, " c": 3.0}, 10.0)[0] == 'Text 1: "a« b» c"'
    assert lines(["a b c"], {" b": 10.0, " c": above}, 10.0)[0] == 'Text 1: "a« b c»"'
    assert lines(["a b c"], {" b": 1.0, " c": 0.3}, 1.0)[0] == 'Text 1: "a« b» c"'  # as float32, too
    assert lines(["a b c"], {" b": 10.0, " c": 0.001}, 10.0, threshold=0)[0] == 'Text 1: "a« b c»"'
    assert lines(["a b c"], {" b": 10.0, " c": -5.0}, 10.0, threshold=0)[0] == 'Text 1: "a« b» c"'


@pytest.mark.parametrize(
    ("activation", "peak", "expected"),
    [(10, 10, 10), (9.999, 10, 9), (0.999, 10, 0), (1, 10, 1), (0, 10, 0), (11, 10, 10), (-1, 10, 0), (1, 0, 0)],
)
def test_a_strength_is_rounded_down_to_tenths_of_the_maximum(activation: float, peak: float, expected: int) -> None:
    assert shown.strength(activation, peak) == expected


def test_tenths_that_float32_can_t_hold_are_rounded_as_they_look() -> None:
    assert [shown.strength(float(np.float32(tenth / 10)), 1.0) for tenth in range(11)] == list(range(11))


def test_of_many_marked_tokens_the_strongest_ten_are_listed_in_their_order() -> None:
    words = [f"w{number}" for number in range(14)]
    fires = {f" {word}" if word != "w0" else word: 7.0 + number % 7 for number, word in enumerate(words)}
    text, firing = lines([" ".join(words)], fires, peak=13.0)
    assert text == f'Text 1: "«{" ".join(words)}»"'
    # Strengths by word: 7 … 13, 7 … 13; of the four weakest, w0, w7, w1 and w8, none is among the ten.
    assert firing == (
        'Firing: " w2" 6, " w3" 7, " w4" 8, " w5" 9, " w6" 10, " w9" 6, " w10" 7, " w11" 8, " w12" 9, " w13" 10'
    )


def test_what_is_promoted_is_listed_by_its_share_of_the_first() -> None:
    latent, tokens = small(["a"], {"a": 1.0}, 1.0, promoted={" ship": 4.0, " dock": 3.0, "\n": 0.3})
    assert shown.output(latent.facts, tokens.vocabulary) == [
        'Promoted: " ship" 10, " dock" 7, "\\n" 0',
        'Suppressed: "\\n" 10, " dock" 7, " ship" 0',
    ]


@pytest.mark.parametrize(
    ("n", "most", "places"),
    [(4, None, [0, 1, 2, 3]), (10, 4, [0, 2, 5, 7]), (3, 9, [0, 1, 2]), (5, 1, [0]), (0, 3, [])],
)
def test_fewer_examples_are_spread_over_all(n: int, most: int | None, places: list[int]) -> None:
    assert shown.spread(n, most) == places


@given(st.lists((ANY | NASTY).filter(bool), min_size=2, max_size=8, unique=True), st.data())
def test_whatever_the_texts_hold_a_prompt_reads_back_and_holds_the_train_windows_alone(
    words: list[str], data: st.DataObject
) -> None:
    pieces = [word.encode("utf-8", "surrogatepass") for word in words]
    ids = st.lists(st.integers(0, len(words) - 1), min_size=4, max_size=4)

    def windows(fires: bool, most: int) -> Windows:
        rows = data.draw(st.lists(ids, min_size=1, max_size=most))
        tokens = np.array(rows, np.int32)
        level = st.sampled_from([0.0, 0.5, 1.0, 2.0])
        drawn = data.draw(st.lists(st.lists(level, min_size=4, max_size=4), min_size=len(rows), max_size=len(rows)))
        activations = np.array(drawn, np.float32) * fires
        return Windows(np.arange(len(rows)), np.ones(len(rows), np.int8), tokens, activations, [None] * len(rows))

    vocabulary = Vocabulary(pieces, np.ones(len(words), np.int64), np.zeros(len(words), bool))
    train, test, silent = windows(True, 4), windows(True, 4), windows(False, 3)
    latent = LatentExamples(7, {"max": 2.0}, train, test, test, train_negative=silent)
    writer = Writer('{"explanation": "x"}')
    with pytest.MonkeyPatch.context() as patch:
        explain(patch, "contrastive", writer, Small(latent, Corpus(vocabulary)))
    (request,) = writer.requests
    found = read(request)

    def bare(part: Windows) -> list[str]:
        return [vocabulary.text(row).replace("«", "\u2039").replace("»", "\u203a") for row in part.tokens]

    assert [example.text for example in found.fires] == bare(train)
    assert found.silent == bare(silent)
    for place, example in enumerate(found.fires):
        assert "".join(text for text, _ in example.listed) == "".join(example.marked)
        assert bool(example.marked) == bool((train.activations[place] > 0).any())


@pytest.mark.parametrize("kind", sorted(set(registry.EXPLAINERS) - {"imported", "pattern", "none"}))
def test_only_train_windows_may_change_a_prompt(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another test or test-negative window leaves every request as it is."""
    parts = {"train_negative": ["the dog ran"], "validation": ["one two sat"], "validation_negative": ["three four"]}
    options = {"judge": {"provider": "pattern"}} if kind == "best_of" else {}
    asked = []
    for test in (["zyx sat wvu"], ["rqp sat nml"]):
        latent = small(["the cat sat"], {" sat": 1.0}, 1.0, {" down": 2.0}, test=test, negative=test, **parts)
        writer = Writer('{"explanation": "x", "analysis": "y"}' if kind == "cot" else '{"explanation": "x"}')
        explain(monkeypatch, kind, writer, latent, **options)
        asked.append(writer.requests)
        assert not any(word in str(writer.requests) for word in ("zyx", "wvu", "rqp", "nml"))
    assert asked[0] == asked[1]


def test_the_entry_is_checked_before_anything_is_asked() -> None:
    with pytest.raises(Exception, match=r"explainers\.mine\.model should be a language model \(kind: pattern explains"):
        explainers.load("mine", {"kind": "default", "model": {"provider": "pattern"}})
    with pytest.raises(Exception, match=r"explainers\.mine\.threshold should be less than 1, found 1"):
        explainers.load("mine", {"kind": "default", "model": WRITER, "threshold": 1.0})
