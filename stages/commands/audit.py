"""``glossa audit``: whether everything is what it says it is."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stages.commands.wrapped import wrapped
from stages.errors import GlossaError
from stages.machine.columns import columns
from stages.text.display import sentence

if TYPE_CHECKING:
    from stages.provenance.check import Check
    from stages.provenance.outcome import Outcome
    from stages.provenance.project import Project
    from stages.results.doubts import Doubt

HEAD = ("check", "checked", "failed", "unknown")
NARROW = 30
"""Columns at least for what a check compares."""
COLOURS = {"right": "green", "wrong": "red", "unknown": "yellow"}
REASONS = 3
"""Reasons of one check that are told."""


@click.command("audit")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Windows of every coder whose activations are computed anew.",
)
@click.option("--full", is_flag=True, help="All windows, and the scorers that compute with a model of their own.")
@click.option("--strict", is_flag=True, help="Let nothing pass that could not be checked.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write it as a page, for a browser.")
def command(sample: int, full: bool, strict: bool, as_json: bool, html: Path | None) -> None:
    """Check all data against lock files, prompts, answers, verdicts, the subject and the coders; no model is asked.

    Ends with exit code 1 if a check failed. What can't be checked here, such as activations that were not pulled, is told
    and is no failure, unless --strict says so. Where no output is here at all, the exit code is 2.
    """
    from stages.provenance import ran
    from stages.provenance.audit import audit
    from stages.provenance.check import DAMAGE
    from stages.provenance.outcome import outcome
    from stages.provenance.project import Project
    from stages.results.doubts import doubts
    from stages.wiring import made

    project = Project.here(sample, full)
    if html is not None:
        _refuse_outputs(project, html)
    found = list(audit(project))
    came_to = outcome(project, found, strict)
    packages = ran.packages(project)
    try:
        doubtful = list(doubts(project.p))
    except DAMAGE:  # of which a check tells
        doubtful = []
    if as_json:
        told = {
            "sound": came_to.code == 0,
            "verdict": came_to.said,
            "sample": None if full else sample,
            "strict": strict,
            "other_packages": {name: sorted(then) for name, then in made.others(packages).items()},
            "doubts": [doubt._asdict() for doubt in doubtful],
            "checks": [check.to_dict() for check in found],
        }
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        width = _width()
        for line in _table(found, width):
            click.echo(line)
        warned = made.warning(packages)
        for line in (*_failures(found), *_unknown(found), *_doubts(doubtful), *_warned(warned), *_verdict(came_to)):
            click.echo(wrapped(line, width) if width else line)
    if html is not None:
        from stages.outputs import write_text
        from stages.provenance.page import page

        try:
            write_text(html, page(project, found, strict))
        except OSError as error:
            raise GlossaError(f"{html} can't be written: {error.strerror}; choose another place") from None
    sys.exit(came_to.code)


def _doubts(found: list[Doubt]) -> Iterator[str]:
    if found:
        yield ""
        yield click.style("To be doubted, though nothing differs:", bold=True)
        yield from (f"  {doubt.coder} {doubt.explainer}: {doubt.said}" for doubt in found)


def _width() -> int | None:
    """The columns of the terminal; None where the table goes to a file or a program."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _refuse_outputs(project: Project, html: Path) -> None:
    for out in project.lock.outputs:
        if html.resolve().is_relative_to(Path(out).resolve()):
            raise GlossaError(
                f"{html} lies in {out}, which a lock file pins, so writing it would change that; choose another"
            )


def _table(found: list[Check], width: int | None = None) -> Iterator[str]:
    """The checks, a line each; what they compare goes on below where ``width`` columns are too few."""
    rows = [(c.name, f"{c.checked:,}", f"{c.failed:,}", f"{sum(map(len, c.unknown.values())):,}") for c in found]
    head, *lines = columns([HEAD, *rows])
    yield click.style(head, bold=True)
    indent = len(head) + 2
    left = max(NARROW, width - indent) if width else sys.maxsize
    for line, check in zip(lines, found, strict=True):
        colour = "red" if check.failed else "green" if check.checked else "yellow"
        first, *more = textwrap.wrap(check.covers, left)
        yield f"{click.style(line, fg=colour)}  {click.style(first, dim=True)}"
        yield from (f"{' ' * indent}{click.style(text, dim=True)}" for text in more)


def _failures(found: list[Check]) -> Iterator[str]:
    for check in found:
        if check.failed:
            yield ""
            yield click.style(f"{check.name}: {check.failed:,} of {check.checked:,} failed", fg="red", bold=True)
            yield from (f"  {sentence(failure.item)}\n    {sentence(failure.said)}" for failure in check.failures)
            if check.failed > len(check.failures):
                yield f"  … and {check.failed - len(check.failures):,} more"


def _unknown(found: list[Check]) -> Iterator[str]:
    for check in found:
        for number, (why, items) in enumerate(check.unknown.items()):
            if number == REASONS:
                yield f"  … and {len(check.unknown) - REASONS} more reasons"
                break
            if not number:
                yield ""
                yield click.style(f"{check.name}: not checked", fg="yellow", bold=True)
            yield f"  {items[0]}{f' and {len(items) - 1:,} more' if len(items) > 1 else ''}: {why}"


def _warned(warning: str | None) -> Iterator[str]:
    if warning is not None:
        yield ""
        yield click.style(f"{warning[0].upper()}{warning[1:]}", fg="yellow")


def _verdict(came_to: Outcome) -> Iterator[str]:
    yield ""
    said = came_to.said if came_to.state == "wrong" else f"{came_to.said}: {came_to.counted}"
    yield click.style(said, fg=COLOURS[came_to.state], bold=True)
