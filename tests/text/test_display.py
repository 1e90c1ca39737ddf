from __future__ import annotations

import itertools
import unicodedata

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.tokens import Vocabulary
from stages.text.display import INVISIBLE, Segment, segments, sentence, visible
from tests.results import furnished as f


def test_controls_and_formats_become_marks() -> None:
    assert visible("a\n\tb") == "a↵⇥b"
    assert visible("\x1b[31m\x00\x7f\x85") == "⟨U+001B⟩[31m⟨U+0000⟩⟨U+007F⟩⟨U+0085⟩"
    assert visible("\u202eabc\u2066\u200b\u2028\ufeff") == "⟨U+202E⟩abc⟨U+2066⟩⟨U+200B⟩⟨U+2028⟩⟨U+FEFF⟩"


def test_other_scripts_spaces_and_symbols_stay() -> None:
    text = "naïve café 12\u00a0€ עברית 日本語 😀 \ufffd"
    assert visible(text) == text


@given(st.text())
def test_nothing_invisible_is_left(text: str) -> None:
    assert not {unicodedata.category(character) for character in visible(text)} & INVISIBLE
    assert visible(visible(text)) == visible(text)


def test_an_explanation_is_one_line() -> None:
    assert sentence("  first\n\n second\tthird\x07 ") == "first second third⟨U+0007⟩"


def test_silent_tokens_are_joined_and_activating_tokens_stand_alone() -> None:
    found = segments([f.A, f.DOG, f.CAT, f.CAT, f.NEWLINE], [0, 0, 2.0, 3.0, 0], f.vocabulary())
    assert found == [Segment(" a dog", 0), Segment(" cat", 2.0), Segment(" cat", 3.0), Segment("↵", 0)]


def test_a_character_of_two_tokens_is_one_segment() -> None:
    assert segments([f.E1, f.E2, f.A], [1.0, 5.0, 0], f.vocabulary()) == [Segment("é", 5.0), Segment(" a", 0)]


def test_half_a_character_at_the_edges_shows_as_one() -> None:
    assert segments([f.E2, f.A, f.E1], [0, 0, 2.0], f.vocabulary()) == [Segment("\ufffd a", 0), Segment("\ufffd", 2.0)]
    cut = segments([f.E1, 0, f.A], [3.0, 0, 0], f.vocabulary())
    assert cut == [Segment("\ufffd", 3.0), Segment("<end>", 0, special=True), Segment(" a", 0)]


@given(
    st.lists(st.binary(min_size=1, max_size=4), min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 1.0, 2.0])), max_size=12),
)
def test_segments_join_to_the_text_of_the_window(words: list[bytes], window: list[tuple[int, float]]) -> None:
    special = np.zeros(len(words), bool)
    vocabulary = Vocabulary(words, np.ones(len(words), np.int64), special)
    ids = [token % len(words) for token, _ in window]
    values = [value for _, value in window]
    found = segments(ids, values, vocabulary)
    assert "".join(segment.text for segment in found) == visible(vocabulary.text(ids))
    assert max((segment.value for segment in found), default=0) == max(values, default=0)
    silent = [segment.value == 0 for segment in found]
    assert not any(a and b for a, b in itertools.pairwise(silent))
