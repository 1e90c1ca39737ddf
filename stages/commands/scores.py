"""``glossa scores``: the mean scores of all coders, with their intervals and floors, in a terminal."""

from __future__ import annotations

import json

import click

from stages import params
from stages.errors import GlossaError, check_name
from stages.results import scoreboard


@click.command("scores")
@click.option("--coder", "coders", multiple=True, help="Only this coder; may be given several times.")
@click.option("--scorer", "scorers", multiple=True, help="Only this scorer; may be given several times.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(coders: tuple[str, ...], scorers: tuple[str, ...], as_json: bool) -> None:
    """Show the mean score of every coder by every explainer and scorer, with its 95 % interval and its floor."""
    p = params.load()
    for names, known, what in ((coders, p.coders, "coder"), (scorers, p.scorers, "scorer")):
        for name in names:
            check_name(what, name, known)
    if not p.scorers:
        raise GlossaError("params.yaml: scorers should name at least one, found none; docs/scorers.md lists them")
    found = [
        row
        for row in scoreboard.rows(p)
        if (not coders or row.coder in coders) and (not scorers or row.scorer in scorers)
    ]
    if as_json:
        click.echo(json.dumps(scoreboard.records(found), indent=1))
        return
    for line in scoreboard.lines(found):
        click.echo(line)
