from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.tokens import Vocabulary
from stages.site.spelling import Spelling, sparse
from stages.text.display import visible
from tests.results import furnished as f

EURO = "€".encode()
PIECES = [b"<end>", b" cat", EURO[:1], EURO[1:2], EURO[2:], b"\xff", "\ufffd".encode(), b"\n", "ü".encode(), b""]
SPELLING = Spelling(Vocabulary(PIECES, np.ones(len(PIECES), np.int64), np.arange(len(PIECES)) == 0))


def shown(windows: list[list[int]]) -> list[list[str | list[str]]]:
    strings, places = SPELLING.table(np.array(windows, np.int32))
    return [[strings[place] for place in window] for window in places.tolist()]


def test_a_character_of_several_tokens_stands_at_the_first_of_them() -> None:
    assert shown([[1, 2, 3, 4, 7], [0, 8, 2, 3, 1]]) == [
        [" cat", "€", "", "", "↵"],
        [["<end>"], "ü", "\ufffd", "", " cat"],
    ]
    assert shown([[4, 5, 6, 9, 0]]) == [["\ufffd", "\ufffd", "\ufffd", "", ["<end>"]]]


@given(st.lists(st.lists(st.integers(1, len(PIECES) - 1), min_size=6, max_size=6), min_size=1, max_size=4))
def test_joined_the_strings_are_the_visible_text(windows: list[list[int]]) -> None:
    for window, strings in zip(windows, shown(windows), strict=True):
        text = visible(b"".join(PIECES[token] for token in window).decode("utf-8", errors="replace"))
        assert "".join(string for string in strings if isinstance(string, str)) == text


def test_tokens_on_their_own() -> None:
    spelling = Spelling(f.vocabulary())
    assert spelling.token[0] == ["<end>"]
    assert [spelling.name(token) for token in (0, f.SCRIPT, f.E1, f.OVERRIDE)] == [
        "<end>",
        "</script>",
        r"\xc3",  # a part of a character
        "⟨U+202E⟩",
    ]


@given(st.lists(st.lists(st.sampled_from([0.0, 0.0, 1.5, -2.0, 0.12345]), min_size=4, max_size=4), max_size=5))
def test_sparse_values_hold_all_that_is_not_zero(windows: list[list[float]]) -> None:
    dense = np.array(windows, np.float32).reshape(-1, 4)
    for window, pairs in zip(windows, sparse(dense), strict=True):
        back = [0.0] * 4
        for place, value in zip(pairs[::2], pairs[1::2], strict=True):
            back[int(place)] = value
        assert back == [float(f"{value:.3g}") for value in window]
