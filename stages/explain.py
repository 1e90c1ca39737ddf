"""Stage ``explain``: data/examples/<coder> -> data/explanations/<coder>/<explainer>."""

from __future__ import annotations

import click

from stages import explainers, params, paths
from stages.corpus.tokens import Tokens
from stages.errors import check_name
from stages.examples.table import Examples
from stages.explainers import parroted, table
from stages.llm.journal.transcript import recording
from stages.machine.progress import bar
from stages.outputs import identity, read_meta


@click.command("explain")
@click.argument("coder")
@click.argument("explainer")
def command(coder: str, explainer: str) -> None:
    """Explain the sampled latents of CODER with EXPLAINER."""
    p = params.load()
    check_name("coder", coder, p.coders)
    check_name("explainer", explainer, p.explainers)
    entry = p.explainers[explainer]
    unit = explainers.load(explainer, entry)
    examples = Examples.open(paths.examples(coder))
    read = params.only(p, "seed", *explainers.reads(entry))
    latents = bar(f"explain {coder}", total=examples.meta["kept"], unit="latent", iterable=examples)
    meta = {
        "coder": coder,
        "explainer": explainer,
        "options": entry,
        "tokens_sha256": examples.meta["tokens_sha256"],
        "made_from": {examples.directory.as_posix(): identity(examples.directory)},
    }
    out = paths.explanations(coder, explainer)
    with recording(out) as transcript:
        found = list(unit.explain(unit.prepare(latents, read, coder), Tokens.open()))
        facts = unit.facts(read, coder, examples)
        table.write(out, found, {**meta, **facts}, transcript)
    explained = sum(explanation.text is not None for explanation in found)
    doubts = parroted.doubts(read_meta(out, table.SCHEMA, table.VERSION))
    click.echo(f"explain {coder} {explainer}: {'; '.join([f'{explained} of {len(found)} latents explained', *doubts])}")
