"""Stage ``code``: stages/ and params.yaml -> fingerprints.json, by which DVC tells what has to run again."""

from __future__ import annotations

import click

from stages import params, paths
from stages.wiring import fingerprints

SHOWN = 6


@click.command("code")
def command() -> None:
    """Take the fingerprint of every stage: of the code that it can execute and of the params that it reads."""
    old, new = fingerprints.refresh(params.load())
    changed = list(fingerprints.changes(old, new))
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    said = f"{len(changed)} of {len(new)} fingerprints changed: {', '.join(changed[:SHOWN])}{more}"
    click.echo(f"code: {said if changed else f'no fingerprint changed in {paths.FINGERPRINTS}'}")
