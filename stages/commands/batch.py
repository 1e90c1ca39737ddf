"""``glossa batch``: questions out to files that others answer, and the answers in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages import given, params, paths
from stages.errors import GlossaError, nearest
from stages.machine import runtime
from stages.machine.counted import are, counted
from stages.outputs import new_directory

if TYPE_CHECKING:
    from stages.estimate.pending import Stage
    from stages.llm.batch.answers import Imported, Kind

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.group("batch")
def command() -> None:
    """Have language models answer from files: OpenAI's Batch API, vllm run-batch, a cluster.

    Export the questions of a stage, have the files answered, import the answers, and run dvc repro: the stage finds every answer
    in the journal. Where questions rest on earlier answers, export again after each import, until nothing is left.
    """


@command.command("export")
@click.argument("stage", nargs=-1, required=True, metavar="STAGE…")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option("--lines", type=click.IntRange(min=1), default=50_000, show_default=True, help="Of a file at most.")
@click.option("--megabytes", type=click.IntRange(min=1), default=200, show_default=True, help="Of a file at most.")
@AS_JSON
def export(stage: tuple[str, ...], out: Path, lines: int, megabytes: int, as_json: bool) -> None:
    """Write the questions of a stage, such as explain CODER EXPLAINER or score CODER EXPLAINER SCORER, that have no answer yet."""
    from stages.llm.batch.questions import Writer
    from stages.llm.journal.store import Journal

    given.new_folder(out)
    p = params.load()
    chosen = _stage(p, stage)
    with Journal.at_home() as journal, new_directory(out) as folder:
        writer = Writer(folder, lines, megabytes * 1_000_000)
        known = _ask(p, chosen, journal, writer)
        writer.finish(chosen.words)
    if not writer.requests:
        shutil.rmtree(out)
    told = {"requests": writer.requests, "known": known, "folder": str(out) if writer.requests else None}
    if as_json:
        click.echo(json.dumps(told))
    elif not writer.requests:
        click.echo(
            f"Every question that {' '.join(chosen.words)} can ask now, {known:,} in all, has an answer; run dvc repro"
        )
    else:
        click.echo(f"{are(writer.requests, 'question')} in {out}, {known:,} more known already")
        click.echo(
            f"Next: have its .jsonl files answered, glossa batch import the results, and export {' '.join(chosen.words)} again: "
            "what can't be read is asked anew, and some questions rest on these answers"
        )


@command.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--requests",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of the export; otherwise the nearest above the first of FILES.",
)
@AS_JSON
def bring_in(files: tuple[Path, ...], requests: Path | None, as_json: bool) -> None:
    """Take the answers out of result FILES, in any order, whole or in part; lines that can't be used are named and left out."""
    from stages.llm.batch import answers
    from stages.llm.batch.questions import MANIFEST, Exported
    from stages.llm.journal.store import Journal

    exported = Exported((requests or _nearest(files[0], MANIFEST)) / MANIFEST)
    prices = {
        (name, model): price
        for name, endpoint in runtime.load().endpoints.items()
        for model, price in endpoint.prices.items()
    }
    with Journal.at_home() as journal:
        found = answers.bring_in(journal, exported, files, prices)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=1))
        return
    for text, is_good in _report(found, len(exported.places)):
        click.echo(text, err=not is_good)


def _stage(p: params.Params, words: tuple[str, ...]) -> Stage:
    from stages.estimate import rehearse
    from stages.estimate.pending import Stage

    sections: dict[str, tuple[tuple[str, Any], ...]] = {
        "explain": (("coder", p.coders), ("explainer", p.explainers)),
        "score": (("coder", p.coders), ("explainer", (*p.explainers, params.LATENT)), ("scorer", p.scorers)),
    }
    parts = sections.get(words[0])
    if parts is None or len(words) != len(parts) + 1:
        raise GlossaError(
            f"expected explain CODER EXPLAINER or score CODER EXPLAINER SCORER, found {' '.join(words)}; name one stage"
        )
    for (what, known), name in zip(parts, words[1:], strict=True):
        if name not in known:
            raise GlossaError(f"{paths.PARAMS} has no {what} {name}; {nearest(name, known)}")
    entry = parts[-1][1][words[-1]]
    if not rehearse.asks(entry):
        raise GlossaError(f"{' '.join(words)} asks no language model, so there is nothing to export; run dvc repro")
    return Stage(*words[1:])


def _ask(p: params.Params, stage: Stage, journal: Any, writer: Any) -> int:
    """Writes what the stage would ask; returns how many questions have an answer already."""
    from stages import explainers
    from stages.corpus.tokens import Tokens
    from stages.estimate import rehearse
    from stages.examples.table import Examples
    from stages.explainers.table import texts
    from stages.llm.rehearsal import Noted, NothingAskedError, Rehearsal
    from stages.llm.server import probe
    from stages.llm.server.options import Server
    from stages.llm.server.turns import Shape

    seen: dict[str, bool] = {}

    def note(noted: Noted) -> None:
        if not isinstance(noted.options, Server):
            raise GlossaError(
                f"{noted.options.model} answers in this process, so there is nothing to export; run dvc repro"
            )
        if noted.key not in seen:
            seen[noted.key] = noted.call is not None
            if noted.call is None:
                writer.add(noted)

    def shape(options: Server) -> Shape:
        found = probe.remembered(options, options.at(), journal)
        if found is None:
            raise GlossaError(
                f"the model {options.model} at the endpoint {options.endpoint} should say in params.yaml where its instructions stand, as "
                "nobody has found out what its server takes; set system: turn, or system: user for a model whose chat template knows no "
                "turn of the system (Gemma 2), or run glossa probe where the server can be reached"
            )
        return found.shape

    examples, tokens = Examples.open(paths.examples(stage.coder)), Tokens.open()
    rehearsal = Rehearsal(journal, note, shape=shape)
    try:
        if stage.scorer is None:
            kept = examples.latents.filter(examples.latents["dropped"].is_null())["latent"].to_pylist()
            unit = explainers.load(stage.explainer, p.explainers[stage.explainer])
            shown = unit.prepare(examples.of(kept), p, stage.coder)
            rehearse.explain(p, stage.explainer, rehearsal, shown, tokens)
        else:
            is_latent = stage.explainer == params.LATENT
            explained = (
                dict.fromkeys(examples.kept, "")
                if is_latent
                else texts(paths.explanations(stage.coder, stage.explainer))
            )
            rehearse.score(p, stage, rehearsal, examples, explained, tokens)
    except NothingAskedError:
        raise GlossaError(
            f"{' '.join(stage.words)} computes in this process, so there is nothing to export; run dvc repro"
        ) from None
    return sum(seen.values())


def _nearest(file: Path, name: str) -> Path:
    """The folder above a file that holds ``name``."""
    folders = file.absolute().parents
    found = next((folder for folder in folders if (folder / name).is_file()), None)
    if found is None:
        raise GlossaError(
            f"expected the {name} of the export beside {file} or in a folder above it, but there is none; name the folder that glossa "
            "batch export wrote with --requests"
        )
    return found


def _report(found: Imported, questions: int) -> Iterator[tuple[str, bool]]:
    """Lines, and whether they say what is good."""
    by = ", ".join(f"{n:,} by {model}" for model, n in sorted(found.models.items()))
    yield f"{are(found.new, 'answer')} new{f' ({by})' if by else ''}, {found.known:,} known", True
    for kind, *said in (
        (found.repeated, "answers a question again", "answer questions again"),
        (found.foreign, "answers no question of this export", "answer no question of this export"),
        (found.failed, "holds no answer", "hold no answer"),
        (found.damaged, "is damaged", "are damaged"),
    ):
        yield from _named(kind, *said)
    if found.missing:
        yield (
            f"No answer yet: {found.missing:,} of {counted(questions, 'question')}; have them answered, or let dvc repro ask",
            True,
        )
    else:
        yield f"Every question has an answer, {questions:,} in all", True


def _named(kind: Kind, of_one: str, of_many: str) -> Iterator[tuple[str, bool]]:
    if kind.n:
        more = ", …" if kind.n > len(kind.examples) else ""
        found = f"1 line {of_one} and was" if kind.n == 1 else f"{kind.n:,} lines {of_many} and were"
        yield f"{found} left out: {', '.join(kind.examples)}{more}", False
