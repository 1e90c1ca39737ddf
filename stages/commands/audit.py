"""``glossa audit``: whether everything is what it says it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from stages.publish.text import sentence

if TYPE_CHECKING:
    from stages.provenance.check import Check

HEAD = ("check", "checked", "failed", "unknown")
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(sample: int, full: bool, as_json: bool) -> None:
    """Check all data against dvc.lock, prompts, answers, verdicts, the subject and the coders; nothing is asked or written.

    Ends with exit code 1 if a check failed. What can't be checked here, such as activations that were not pulled, is told
    and is no failure.
    """
    from stages.provenance.audit import audit
    from stages.provenance.project import Project

    found = []
    for check in audit(Project.here(sample, full)):
        found.append(check)
    is_sound = not any(check.failed for check in found)
    if as_json:
        told = {"sound": is_sound, "sample": None if full else sample, "checks": [check.told() for check in found]}
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        for line in (*_table(found), *_failures(found), *_unknown(found), *_verdict(found)):
            click.echo(line)
    sys.exit(not is_sound)


def _table(found: list[Check]) -> Iterator[str]:
    rows = [(c.name, f"{c.checked:,}", f"{c.failed:,}", f"{sum(map(len, c.unknown.values())):,}") for c in found]
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    yield click.style(_row(HEAD, widths), bold=True)
    for row, check in zip(rows, found, strict=True):
        colour = "red" if check.failed else "green" if check.checked else "yellow"
        yield f"{click.style(_row(row, widths), fg=colour)}  {click.style(check.covers, dim=True)}"


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    first, *others = (
        f"{cell:<{w}}" if not i else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((first, *others))


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


def _verdict(found: list[Check]) -> Iterator[str]:
    failed = [check.name for check in found if check.failed]
    yield ""
    total = sum(check.checked for check in found)
    if failed:
        yield click.style(f"{len(failed)} of {len(found)} checks failed: {', '.join(failed)}", fg="red", bold=True)
    else:
        yield click.style(f"Nothing differs: {total:,} comparisons in {len(found)} checks", fg="green", bold=True)
