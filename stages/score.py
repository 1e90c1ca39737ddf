"""Stage ``score``: explanations and examples -> data/scores/<coder>/<explainer>/<scorer>."""

from __future__ import annotations

import click

from stages import params, paths, scorers
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, nearest
from stages.examples.table import Examples
from stages.explainers.table import texts
from stages.llm.transcript import recording
from stages.scorers import run, table


@click.command("score")
@click.argument("coder")
@click.argument("explainer")
@click.argument("scorer")
def command(coder: str, explainer: str, scorer: str) -> None:
    """Score EXPLAINER's explanations of CODER's latents with SCORER."""
    p = params.load()
    if scorer not in p.scorers:
        raise GlossaError(f"params.yaml has no scorer {scorer}; {nearest(scorer, p.scorers)}")
    entry = p.scorers[scorer]
    unit = scorers.load(scorer, entry)
    explained = texts(paths.explanations(coder, explainer))
    out = paths.scores(coder, explainer, scorer)
    with recording(out) as transcript:
        found, facts = run.run(unit, Examples.open(paths.examples(coder)), explained, Tokens.open().vocabulary, p.seed)
        meta = {"coder": coder, "explainer": explainer, "scorer": scorer, "kind": entry["kind"], "options": entry}
        table.write(out, found.verdicts, found.scores, {**meta, **facts}, transcript)
    click.echo(f"score {coder} {explainer} {scorer}: {_said(facts)}")


def _said(facts: dict) -> str:
    own, floor = facts["overall"][table.OWN], facts["overall"][table.SHUFFLED]
    if own["score"] is None:
        return f"no score, {own['reason']}"
    name = facts["metric"].replace("_", " ")
    text = f"{name} {own['score']:.3f} [{own['low']:.3f}, {own['high']:.3f}] over {own['n_latents']} latents"
    if floor["score"] is not None:
        text += f", floor {floor['score']:.3f}"
    if own["unscored_examples"]:
        text += f", {own['unscored_examples']} examples unscored"
    return text
