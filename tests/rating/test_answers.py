from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.errors import GlossaError
from stages.rating import answers
from stages.rating.questions import Question
from tests.rating.test_questions import TEXTS, asked


def taken(lines: list[str], every: list[Question], rated: bool = False) -> list[tuple[int, str | int | None]]:
    rows = answers.piped(lines, lambda: iter(every), rated)
    return [(row.latent, row.rating if rated else row.explanation) for row in rows]


def test_lines_answer_the_open_questions_in_their_order(place: Path) -> None:
    assert taken(["one", "two"], asked()) == [(7, "one"), (2, "two")]
    assert taken(["", " two \u2028 words\x1b[2J"], asked()) == [(2, "two words")]
    assert taken(["one", "", "  "], asked()) == [(7, "one")]
    assert taken([], asked()) == []
    first, second = asked()
    assert taken(["late"], [first._replace(answered=True), second]) == [(2, "late")]
    assert taken(["1", "", "4"], asked(TEXTS), rated=True) == [(7, 1), (2, 4)]


def test_a_sheet_names_its_questions(place: Path) -> None:
    first, second = asked()
    sheet = [f"{answers.SHEET}one", f"{second.label}: two", "# one, latent 7", "  « 7.abcdef: x»", f"{first.label}: "]
    assert taken(sheet, [first, second]) == [(2, "two")]
    assert taken(sheet, [first, second._replace(answered=True)]) == []


SHEETS = [
    (["2.000000: a"], "line 2 of the sheet answers 2.000000, which is not asked"),
    (["{0}: a", "{0}: b"], "line 3 of the sheet answers 2.* again"),
]


@pytest.mark.parametrize(("lines", "said"), SHEETS)
def test_a_sheet_of_other_questions_is_refused(lines: list[str], said: str, place: Path) -> None:
    label = asked()[1].label
    with pytest.raises(GlossaError, match=said):
        taken([f"{answers.SHEET}one", *(line.format(label) for line in lines)], asked())


def test_what_comes_before_a_mistake_is_taken(place: Path) -> None:
    rows: Iterator = answers.piped(["1", "5"], lambda: iter(asked(TEXTS)), True)
    assert next(rows).rating == 1
    with pytest.raises(GlossaError, match="line 2: expected a rating from 1 to 4, found '5'"):
        next(rows)
    with pytest.raises(GlossaError, match="line 3 is one too many"):
        taken(["a", "b", "c"], asked())
    with pytest.raises(GlossaError, match="line 1: expected an explanation of up to 2,000 characters"):
        taken(["a" * 2001], asked())
