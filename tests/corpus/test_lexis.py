from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.lexis import QUOTED, read_back, spelt


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the", "the"),
        ('"', '\\"'),
        ("\\", "\\\\"),
        ("\\n", "\\\\n"),
        ("\n  ", "\\n\u2423\u2423"),
        (" ", "\u2423"),
        ("a b", "a b"),
        ("a  b", "a\u2423\u2423b"),
        ("\u2423", "\\u2423"),
        ("\u00a0", "\\u00a0"),
        ("\u200b\u2028\x1b\x7f", "\\u200b\\u2028\\u001b\\u007f"),
        ("\u2033\u25a1\ufffd \u00e9\u732b", "\u2033\u25a1\ufffd \u00e9\u732b"),
        ("\U000e0041", "\\udb40\\udc41"),
    ],
)
def test_what_can_not_be_seen_is_spelt(text: str, expected: str) -> None:
    assert spelt(text) == expected


@given(st.text(min_size=1))
def test_what_is_spelt_is_read_back_from_between_its_quotes(text: str) -> None:
    written = spelt(text)
    assert all(character.isprintable() for character in written)
    assert " ".join(written.split()) == written
    (found,) = QUOTED.findall(f'Fires on "{written}" or so.')
    assert read_back(found) == text


@pytest.mark.parametrize(
    ("text", "expected"), [("\\alpha", "\\alpha"), ("a\\", "a\\"), ("\\n\\s", "\n\\s"), ("x\ty", "x\ty")]
)
def test_what_others_write_between_quotes_is_taken_as_it_is(text: str, expected: str) -> None:
    assert read_back(text) == expected
