"""Stage ``score``: explanations and examples -> data/scores/<coder>/<explainer>/<scorer>."""

from __future__ import annotations

import click

from stages import params, paths, registry, scorers
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, check_name
from stages.examples.table import Examples
from stages.explainers.table import texts
from stages.llm.journal.transcript import recording
from stages.scorers import run, shards, table, trusted


@click.command("score")
@click.argument("coder")
@click.argument("explainer")
@click.argument("scorer")
def command(coder: str, explainer: str, scorer: str) -> None:
    """Score EXPLAINER's explanations of CODER's latents with SCORER."""
    p = params.load()
    check_name("coder", coder, p.coders)
    check_name("scorer", scorer, p.scorers)
    entry = p.scorers[scorer]
    unit = scorers.load(scorer, entry)
    of_latents = entry["kind"] in registry.SCORERS_OF_LATENTS
    if of_latents != (explainer == params.LATENT):
        needs = f"no explanation, so its explainer is {params.LATENT}" if of_latents else "an explainer's explanations"
        raise GlossaError(f"{scorer} scores by {needs}, found {explainer}; correct the command")
    if not of_latents:
        check_name("explainer", explainer, p.explainers)
    examples = Examples.open(paths.examples(coder))
    explained = dict.fromkeys(examples.kept, "") if of_latents else texts(paths.explanations(coder, explainer))
    context = scorers.Context(Tokens.open().vocabulary, p.seed, coder, params.only(p, "seed", *scorers.reads(entry)))
    out = paths.scores(coder, explainer, scorer)
    meta = {"coder": coder, "explainer": explainer, "scorer": scorer, "kind": entry["kind"], "options": entry}
    with recording(out) as transcript, table.writing(out, transcript) as (writer, into):
        facts = run.run(unit, examples, explained, context, lambda part: writer.add(*part), not of_latents, shards.find)
        into |= {**meta, **facts}
    click.echo(f"score {coder} {explainer} {scorer}: {'; '.join([_said(facts), *trusted.doubts(facts)])}")


def _said(facts: dict) -> str:
    metric, unscored = facts["metric"], facts["unscored"][table.OWN]
    own = facts["overall"][table.OWN].get(metric, {}).get(table.ALL, {"value": None})
    if own["value"] is None:
        why = next(iter(unscored["latents_by_reason"]), "no latent was explained")
        return f"no score, {why}"
    others = facts["overall"].get(table.SHUFFLED)  # none where latents are scored, whose floor is chance
    floor = {"value": facts["chance"]} if others is None else others.get(metric, {}).get(table.ALL, {"value": None})
    text = f"{metric.replace('_', ' ')} {own['value']:.3f} [{own['low']:.3f}, {own['high']:.3f}] over {own['n_latents']} latents"
    if floor["value"] is not None:
        text += f", floor {floor['value']:.3f}"
    if unscored["examples"]:
        text += f", {unscored['examples']} examples unscored"
    return text
