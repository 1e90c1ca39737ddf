"""``glossa journal``: what the answers kept outside of DVC come to, and how to bring others in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from stages.errors import GlossaError
from stages.llm.batch import restore
from stages.llm.journal import transcript
from stages.llm.journal.store import Journal
from stages.machine import runtime
from stages.machine.counted import are, counted
from stages.machine.progress import bar

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.group("journal", invoke_without_command=True)
@AS_JSON
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show how many answers the journal holds and what they cost."""
    if context.invoked_subcommand is not None:
        return
    facts = _facts()
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for line in _lines(facts):
        click.echo(line)


@command.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@AS_JSON
def bring_in(paths: tuple[Path, ...], as_json: bool) -> None:
    """Take the answers out of the transcripts in PATHS, files or folders, so that none is asked for again."""
    found = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob(transcript.NAME)))]
    if not found:
        raise GlossaError(
            f"expected a {transcript.NAME} in {', '.join(map(str, paths))}, but there is none; dvc pull the explanations or "
            "scores whose answers you want"
        )
    added = []
    with Journal.at_home() as journal:
        for file in bar("import", total=len(found), unit="transcript", iterable=found):
            added.append(restore.add(journal, transcript.read(file), "transcript"))
    total = restore.Added(*map(sum, zip(*added, strict=True)))
    if as_json:
        click.echo(json.dumps({"transcripts": len(found), **total._asdict()}))
        return
    click.echo(f"{are(total.new, 'answer')} new, {total.known:,} known, from {counted(len(found), 'transcript')}")
    if total.refused:
        click.echo(f"{total.refused:,} refused: damaged, or no answer to the request", err=True)


def _facts() -> dict[str, Any]:
    path = runtime.home() / "journal.sqlite"
    if not path.exists():
        return {"path": str(path), "bytes": 0, "answers": 0, "spent": []}
    with Journal(path) as journal:
        files = [path, path.with_name(f"{path.name}-wal")]
        size = sum(file.stat().st_size for file in files if file.is_file())
        return {"path": str(path), "bytes": size, "answers": len(journal), "spent": list(journal.ledger())}


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    yield f"{facts['path']}: {facts['answers']:,} answers in {facts['bytes'] / 1e6:,.1f} MB"
    endpoints = runtime.load().endpoints
    for spent in facts["spent"]:
        yield ""
        yield click.style(f"{spent['model']} at {spent['endpoint']}", bold=True)
        yield (
            f"  {spent['answers']:,} answers to {spent['prompt_tokens']:,} prompt tokens ({spent['cached_tokens']:,} of them "
            f"cached by the server) with {spent['completion_tokens']:,} tokens"
        )
        yield f"  {spent['failed']:,} attempts failed, {spent['unfinished']:,} never ended"
        dollars = f" and ${spent['dollars']:,.4f}" if spent["dollars"] else ""
        yield f"  counted as spent: {spent['calls']:,} calls, {spent['tokens']:,} tokens{dollars}"
    for name in sorted({spent["endpoint"] for spent in facts["spent"]} & set(endpoints)):
        for unit, limit in endpoints[name].budget.model_dump(exclude_none=True).items():
            used = sum(spent[unit] for spent in facts["spent"] if spent["endpoint"] == name)
            yield f"Budget of {name}: {used:,.6g} of {limit:,} {unit}"
