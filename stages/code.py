"""Stage ``code``: stages/ and params.yaml -> fingerprints.json, by which DVC tells what has to run again."""

from __future__ import annotations

import click

from stages import params, paths
from stages.machine.counted import counted
from stages.wiring import aliases, fingerprints

SHOWN = 6


@click.command("code")
def command() -> None:
    """Take the fingerprint of every stage: of the code that it can execute and of the params that it reads."""
    old, new = fingerprints.refresh(params.load())
    changed = list(fingerprints.changes(old, new))
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    said = f"{len(changed)} of {counted(len(new), 'fingerprint')} changed: {', '.join(changed[:SHOWN])}{more}"
    if aliases.named(paths.PARAMS.read_text(encoding="utf-8"))[1]:
        click.echo(
            f"code: {paths.PARAMS} stands in for models by YAML aliases, of which dvc exp run -S loses what it is told; run glossa wire",
            err=True,
        )
    click.echo(f"code: {said if changed else f'no fingerprint changed in {paths.FINGERPRINTS}'}")
