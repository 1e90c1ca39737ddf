"""``glossa preset``: a complete params.yaml for a published subject and its sparse coders."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

import click

from stages import params, paths
from stages.commands import wire
from stages.errors import GlossaError, nearest
from stages.outputs import write_text

PRESETS = Path("presets")


@click.command("preset")
@click.argument("name", required=False)
@click.option("--force", is_flag=True, help="Overwrite a params.yaml that is kept nowhere else.")
@click.pass_context
def command(ctx: click.Context, name: str | None, force: bool) -> None:
    """Make params.yaml that of the preset NAME, and dvc.yaml what follows from it; without NAME, list the presets.

    A params.yaml that is neither a preset nor as the last commit has it is overwritten with --force only.
    """
    found = {file.stem: file for file in sorted(PRESETS.glob("*.yaml"), key=lambda file: file.stem)}
    if not found:
        raise GlossaError(f"expected presets in {PRESETS.absolute()}, but there are none; run Glossa in a clone of it")
    if name is None:
        for preset, file in found.items():
            click.echo(f"{click.style(f'{preset:<{max(map(len, found))}}', bold=True)}  {_header(file)[0]}")
        return
    if name not in found:
        raise GlossaError(f"there is no preset {name}; {nearest(name, found)}")
    if not force and not _is_kept_elsewhere(found.values()):
        raise GlossaError(
            f"{paths.PARAMS} is neither a preset nor as the last commit has it, so overwriting it would lose work; commit it, "
            "or use --force"
        )
    wire.files(params.load(found[name]))  # fails, if it does, before anything is written
    write_text(paths.PARAMS, found[name].read_text(encoding="utf-8"))
    click.echo(f"preset: {paths.PARAMS} is now {found[name]}")
    ctx.invoke(wire.command, check=False)
    click.echo("\n".join(("", *_header(found[name]), "", "Next: dvc repro")))


def _header(file: Path) -> list[str]:
    """The comment that a preset begins with, one line at least."""
    lines = takewhile(lambda line: line.startswith("#"), file.read_text(encoding="utf-8").splitlines())
    comment = [line.removeprefix("#").removeprefix(" ") for line in lines]
    return comment or [""]


def _is_kept_elsewhere(presets: Iterable[Path]) -> bool:
    """Whether params.yaml can be had again: it is absent, a preset, or as the last commit has it."""
    if not paths.PARAMS.is_file():
        return True
    own = paths.PARAMS.read_bytes()
    if any(file.read_bytes() == own for file in presets):
        return True
    try:
        committed = subprocess.run(["git", "show", f"HEAD:./{paths.PARAMS}"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return committed.returncode == 0 and committed.stdout == own
