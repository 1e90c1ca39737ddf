"""``glossa wire``: dvc.yaml follows params.yaml and the code."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest

import click

from stages import params, paths, pipeline
from stages.errors import GlossaError
from stages.outputs import write_text


@click.command("wire")
@click.option(
    "--check", is_flag=True, help="Write nothing; fail unless dvc.yaml follows from params.yaml and the code."
)
def command(check: bool) -> None:
    """Write the lines of dvc.yaml that follow from params.yaml and from what the code imports.

    Run it after adding or removing a coder, an explainer or a scorer, and after changing an import. It names outputs
    that no entry makes any more, and deletes nothing.
    """
    p = params.load()
    old, new = rewired(p)
    if check:
        _check(old, new)
        return
    if old == new:
        click.echo(f"wire: {paths.PIPELINE} follows params.yaml and the code already")
    else:
        write_text(paths.PIPELINE, new)
        click.echo(f"wire: {paths.PIPELINE} changed in {_changes(old, new)}")
    if left := pipeline.leftovers(p):
        click.echo(f"wire: no entry makes these any more, delete them if you like: {' '.join(map(str, left))}")


def rewired(p: params.Params) -> tuple[str, str]:
    """Returns dvc.yaml as it is, and as it should be.

    Raises:
        GlossaError: there is none, its marks are damaged, or an entry of params.yaml can't be wired.
    """
    if not paths.PIPELINE.is_file():
        raise GlossaError(f"expected {paths.PIPELINE} here, but there is no such file; run Glossa in a clone of it")
    old = paths.PIPELINE.read_text(encoding="utf-8")
    return old, pipeline.rewrite(old, pipeline.blocks(p))


def _check(old: str, new: str) -> None:
    for number, (found, expected) in enumerate(zip_longest(old.splitlines(), new.splitlines()), 1):
        if found != expected:
            raise GlossaError(
                f"{paths.PIPELINE} line {number} should be {_quoted(expected)}, found {_quoted(found)}; run glossa wire"
            )
    click.echo(f"wire: {paths.PIPELINE} follows params.yaml and the code")


def _quoted(line: str | None) -> str:
    return "the end of the file" if line is None else f"'{line.strip()}'"


def _changes(old: str, new: str) -> str:
    """``cache.entries +1 -0, report.data +3 -2``: lines new and gone in every block that changed."""
    before, after = _lines(old), _lines(new)
    counts = {name: ((after[name] - before[name]).total(), (before[name] - after[name]).total()) for name in after}
    return (
        ", ".join(f"{name} +{added} -{gone}" for name, (added, gone) in counts.items() if added or gone)
        or "the order of lines"
    )


def _lines(text: str) -> dict[str, Counter[str]]:
    lines = text.splitlines()
    return {block.name: Counter(lines[block.start : block.end]) for block in pipeline.find(text)}
