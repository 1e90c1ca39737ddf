from __future__ import annotations

import click
from hypothesis import given
from hypothesis import strategies as st

from stages.commands.wrapped import columns, wrapped


def test_by_hand() -> None:
    assert wrapped("one two three", 13) == "one two three"
    assert wrapped("one two three", 12) == "one two\n    three"
    assert wrapped("one two   three", 9) == "one two\n    three"
    assert wrapped("onetwothreefour", 12) == "onetwoth\n    reefour"
    assert wrapped("one two three", 5) == "one two three", "too narrow to be worth it"


def test_a_colour_ends_with_the_line_and_goes_on_in_the_next() -> None:
    red = "\x1b[31m"
    assert wrapped(f"a {red}word two\x1b[0m b", 8) == f"a {red}word\x1b[0m\n    {red}two\x1b[0m\n    b"


def test_wide_characters_take_two_columns_and_accents_none() -> None:
    assert columns("日本a") == 5
    assert columns("😀") == 2
    assert columns("e\u0301") == 1
    assert wrapped("日本 日本 日本", 10) == "日本 日本\n    日本"


@given(st.lists(st.text("ab 日é", min_size=1, max_size=30), min_size=1), st.integers(8, 40))
def test_nothing_is_lost_and_nothing_sticks_out(texts: list[str], width: int) -> None:
    line = "".join(click.style(text, fg=16, bg=223) if place % 2 else text for place, text in enumerate(texts))
    found = wrapped(line, width)
    plain = click.unstyle(found)
    assert plain.replace("\n", "").replace(" ", "") == click.unstyle(line).replace(" ", "")
    assert all(columns(one) <= width for one in plain.split("\n"))
