"""Asking a reader at the terminal, one question after the other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from stages.commands import shading
from stages.commands.wrapped import wrapped
from stages.corpus.tokens import Tokens, Vocabulary
from stages.errors import GlossaError
from stages.explainers.rows import Row
from stages.rating import answers, file, windows
from stages.rating.questions import Question
from stages.text.display import sentence

QUIT = "q"
"""What ends the conversation, as do Ctrl-D and Ctrl-C."""


class QuitError(Exception):
    """The reader wants no more questions."""


def hold(path: Path, asked: Iterator[Question], most: int, rated: bool) -> None:
    """Asks what is not answered yet until there is nothing left or the reader quits; every answer goes to ``path`` at once."""
    with suppress(ImportError):
        import readline  # noqa: F401, gives input() its line editing
    vocabulary = Tokens.open().vocabulary
    for line in _beginning(path, rated):
        _tell(line)
    latent, taken, rest = None, 0, "; nothing is left to be asked"
    for question in asked:
        if question.answered:
            continue
        if question.row.latent != latent:
            latent = question.row.latent
            for line in _latent(question, most, vocabulary):
                _tell(line)
        if rated:
            _tell("")
            _tell(f"      {click.style(sentence(question.row.explanation), bold=True)}")
        try:
            row = _answer(question.row, rated)
        except QuitError:
            rest = ""
            break
        if row is not None:
            file.append(path, row)
            taken += 1
    _tell("")
    _tell(f"{taken} {'rated' if rated else 'written'}, in {path}{rest}")


def _beginning(path: Path, rated: bool) -> Iterator[str]:
    if rated:
        yield "How right is each explanation of what sets off the marked text?"
        for rating, meaning in file.SCALE.items():
            yield f"  {click.style(str(rating), bold=True)}  {meaning}"
    else:
        yield "What sets off the marked text? Say it in a sentence."
    yield click.style(f"An empty line skips, {QUIT} quits; what you enter is kept in {path} at once.", dim=True)


def _latent(question: Question, most: int, vocabulary: Vocabulary) -> Iterator[str]:
    """The windows, the strongest first."""
    yield ""
    title = click.style(f"{question.row.coder}, latent {question.row.latent}", bold=True)
    yield f"{title}  {click.style(f'{question.place} of {question.of}', dim=True)}"
    shade = shading.coloured if shading.is_terminal() else None
    yield from windows.lines(question.latent, most, vocabulary, shade)


def _answer(asked: Row, rated: bool) -> Row | None:
    """What the reader answers, None to skip; asks again where it is no answer."""
    prompt = f"  {answers.RATINGS[0]} to {answers.RATINGS[-1]}: " if rated else "  fires on: "
    while True:
        try:
            text = input(prompt).strip()
        except (EOFError, KeyboardInterrupt):
            raise QuitError from None
        if not text:
            return None
        if text == QUIT:
            raise QuitError
        try:
            return answers.answer(asked, text, rated)
        except GlossaError as error:
            _tell(click.style(f"  {error}", fg="red"))


def _tell(line: str) -> None:
    in_colour = shading.is_terminal()
    click.echo(wrapped(line, shutil.get_terminal_size().columns) if in_colour else line, color=in_colour)
