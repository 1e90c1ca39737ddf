"""Where answers come from when nobody sits at a terminal: lines in the order of the questions, or a sheet that was filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from stages.errors import GlossaError
from stages.explainers.rows import Row
from stages.explainers.written import MOST
from stages.rating.file import RATINGS
from stages.rating.questions import Question
from stages.text.sanitise import line

SHEET = "# glossa rate "
"""How a sheet begins."""
LABELLED = re.compile(r"(\d+\.[0-9a-f]{6}):(.*)")


def answer(asked: Row, text: str, rated: bool) -> Row:
    """Returns the row that an answer makes.

    Raises:
        GlossaError: it is no rating of the scale, or too long.
    """
    said = line(text, MOST + 1)
    if not rated:
        if len(said) > MOST:
            raise GlossaError(f"expected an explanation of up to {MOST:,} characters, found more; shorten it")
        return asked._replace(explanation=said)
    if said not in map(str, RATINGS):
        raise GlossaError(f"expected a rating from {RATINGS[0]} to {RATINGS[-1]}, found {said[:40]!r}; correct it")
    return asked._replace(rating=int(said))


def piped(lines: Iterable[str], asked: Callable[[], Iterator[Question]], rated: bool) -> Iterator[Row]:
    """Yields the answers in ``lines`` as they come; empty ones are left out.

    A sheet, which begins with ``SHEET``, names the question of every answer; all else in it is not read. Other lines answer
    the questions that are open, one each, in their order.

    Raises:
        GlossaError: an answer is none, there are more than questions, or a sheet is of what is not asked any more.
    """
    found = enumerate(lines, 1)
    number, first = next(found, (0, ""))
    if first.startswith(SHEET):
        yield from _sheet(found, asked(), rated)
        return
    left = (question for question in asked() if not question.answered)
    while number:
        question = next(left, None)
        if first.strip():
            if question is None:
                raise GlossaError(f"expected a line for every question, but line {number} is one too many; delete it")
            yield _answer(number, question.row, first, rated)
        number, first = next(found, (0, ""))


def _sheet(lines: Iterable[tuple[int, str]], asked: Iterator[Question], rated: bool) -> Iterator[Row]:
    known = {question.label: (question.row, question.answered) for question in asked}
    done: set[str] = set()
    for number, text in lines:
        labelled = LABELLED.match(text)
        if labelled is None or not labelled[2].strip():
            continue
        label = labelled[1]
        if label not in known:
            raise GlossaError(
                f"line {number} of the sheet answers {label}, which is not asked: other latents are asked about, or the windows "
                "or the explanation have changed; give the options of the sheet, or print a new one"
            )
        if label in done:
            raise GlossaError(f"line {number} of the sheet answers {label} again; leave one of the two")
        done.add(label)
        row, is_answered = known[label]
        if not is_answered:
            yield _answer(number, row, labelled[2], rated)


def _answer(number: int, row: Row, text: str, rated: bool) -> Row:
    try:
        return answer(row, text, rated)
    except GlossaError as error:
        raise GlossaError(f"line {number}: {error}") from None
