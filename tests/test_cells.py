from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.cells import cell, text_of


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "'=1", "''-1"])
def test_a_formula_is_told_to_be_a_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=1", " =1", "'", "'a'", "''", "1"])
def test_other_texts_stay(text: str) -> None:
    assert cell(text) == text_of(text) == text


@given(st.text(alphabet="'=+-@\t\ra", max_size=5))
def test_any_text_comes_back(text: str) -> None:
    assert text_of(cell(text)) == text
    assert cell(text)[:1] not in {"=", "+", "-", "@", "\t", "\r"}
