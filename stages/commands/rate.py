"""``glossa rate``: people explain latents, or rate explanations, by the train windows and nothing else."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from stages import params, paths
from stages.commands import conversation
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, check_name
from stages.examples.table import Examples
from stages.rating import answers, file, texts, windows
from stages.rating.questions import Asking, Question, order, questions, sha256_of
from stages.text.display import sentence
from stages.text.sanitise import line


@click.command("rate")
@click.argument("coder")
@click.option(
    "--write", type=click.Path(dir_okay=False, path_type=Path), help="Write explanations of your own to FILE."
)
@click.option(
    "--into", type=click.Path(dir_okay=False, path_type=Path), help="Rate the explanations there are, into FILE."
)
@click.option("--by", help="Who answers; any name.")
@click.option("--latents", help="Ask about these alone, such as 3,17.")
@click.option("--n", type=click.IntRange(min=1), help="Ask about the first so many of the order.")
@click.option(
    "--windows", "most", type=click.IntRange(min=1), default=20, show_default=True, help="Windows to show of a latent."
)
@click.option("--explainer", "explainers", multiple=True, help="Rate those of this explainer; may be given again.")
@click.option("--sheet", is_flag=True, help="Print all that would be asked, to be filled in and piped back.")
def command(
    coder: str,
    write: Path | None,
    into: Path | None,
    by: str | None,
    latents: str | None,
    n: int | None,
    most: int,
    explainers: tuple[str, ...],
    sheet: bool,
) -> None:
    """Explain latents of CODER yourself (--write FILE), or rate explanations without knowing whose they are (--into FILE).

    Shown are train windows, which explainers see as well, in an order that looks random and is the same for everyone. An empty
    line skips, q quits; every answer is kept in FILE at once and not asked for again. Answers may be piped in, a line each.
    """
    p = params.load()
    path = write or into
    if path is None or (write and into):
        raise click.UsageError("give either --write FILE or --into FILE")
    if write and explainers:
        raise click.UsageError("--explainer goes with --into")
    check_name("coder", coder, p.coders)
    for name in explainers:
        check_name("explainer", name, p.explainers)
    examples, rated = Examples.open(paths.examples(coder)), into is not None
    asking = Asking(coder, sha256_of(examples), p.seed, most, (line(by, 100) or None) if by else None)
    rows = file.answered(path, rated, coder, asking.sha256, p.coders)
    of_latents = texts.of_coder(p, coder, explainers) if rated else None
    asked = order(examples, coder, p.seed, _numbers(latents), n, None if of_latents is None else set(of_latents))
    said = None if of_latents is None else {latent: list(found) for latent, found in of_latents.items()}

    def every() -> Iterator[Question]:
        return questions(examples, asked, asking, said, rows)

    if sheet:
        for text in _sheet(every(), most, rated):
            click.echo(text)
    elif sys.stdin.isatty():
        conversation.hold(path, every(), most, rated)
    else:
        taken = 0
        try:
            for row in answers.piped((text.rstrip("\n") for text in sys.stdin), every, rated):
                file.append(path, row)
                taken += 1
        finally:
            click.echo(f"{taken} {'rated' if rated else 'written'}, in {path}")


def _numbers(latents: str | None) -> list[int] | None:
    if latents is None:
        return None
    parts = [part.strip() for part in latents.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise GlossaError(f"--latents should be numbers of latents such as 3,17, found {latents!r}; correct it")
    return list(map(int, parts))


def _words() -> str:
    """What was typed, but for what asks for a sheet."""
    context = click.get_current_context()
    words = []
    for option in context.command.params:
        value, name = context.params[option.name or ""], option.opts[0]
        if isinstance(option, click.Argument):
            words.append(str(value))
        elif not isinstance(value, bool) and value is not None and value != option.default:
            words += [word for one in (value if option.multiple else [value]) for word in (name, str(one))]
    return shlex.join(words)


def _sheet(asked: Iterator[Question], most: int, rated: bool) -> Iterator[str]:
    """All that is open, with a place for every answer."""
    vocabulary, latent = Tokens.open().vocabulary, None
    yield f"{answers.SHEET}{_words()} < SHEET"
    yield "# Write behind the labels; what stays empty is skipped."
    if rated:
        yield from (f"# {rating} {meaning}" for rating, meaning in file.SCALE.items())
    for question in asked:
        if question.answered:
            continue
        if question.row.latent != latent:
            latent = question.row.latent
            yield ""
            yield f"# {question.row.coder}, latent {latent}    {question.place} of {question.of}"
            yield from windows.lines(question.latent, most, vocabulary)
        if rated:
            yield f"   {sentence(question.row.explanation)}"
        yield f"{question.label}: "
