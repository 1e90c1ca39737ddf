"""Stage ``compare``: data/explanations, data/examples and the coders' weights -> data/similarity."""

from __future__ import annotations

from itertools import product
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from stages import explainers, params, paths, plan
from stages.corpus.tokens import Tokens
from stages.embeddings import memo
from stages.examples.table import Examples
from stages.explainers.table import texts
from stages.llm.journal.transcript import recording
from stages.machine import runtime
from stages.machine.kept import Kept
from stages.machine.progress import bar
from stages.outputs import file_sha256, identity
from stages.similarity import all_pairs, ceiling, chosen, embedded, reading, table
from stages.similarity.key import Keys
from stages.subject.load import pick_device

READS = ("seed", "subject", "compare", "coders", "explainers")
"""Of params.yaml."""

KEPT = "pairs"
"""Folder in Glossa's home that keeps what every pair came to."""

Halves = dict[str, dict[str, list[tuple[str, str]]]]
"""{explainer: {coder: two explanations of each latent}}."""


@click.command("compare")
def command() -> None:
    """Match the latents of every two coders and compare what is said of them."""
    p = params.only(params.load(), *READS)
    chosen.check(p)
    settings, tokens = runtime.load(), Tokens.open()
    said = reading.said(p, texts)
    with recording(paths.SIMILARITY) as transcript:
        halves = _explain_halves(p, said, tokens)
        every = reading.every(said) | {
            text for of in halves.values() for two in of.values() for both in two for text in both
        }
        model, vectors = None, {}
        if every:
            model = embedded.load(p)
            vectors = memo.embed(model, sorted(every))
        device = pick_device(settings.device)
        sources = reading.sources(p, tokens, device, plan.reads_stores(p.compare))
        coders = reading.coders(p, said, vectors, tokens)
        choice = chosen.choose(p, coders)
        keys = Keys(p, coders, tokens, device, None if model is None else model.identity["sha256"])
        kept = Kept(runtime.home() / KEPT, "pair")
        outcomes = all_pairs.outcomes(choice.pairs, coders, sources, p.compare.match, p.seed, keys, kept)
        compared = all_pairs.together(choice.pairs, coders, outcomes)
        kept.make_room()
        meta = {
            **_made_from(p),
            "embedder": None if model is None else model.identity,  # null: there was nothing to embed
            "choice": choice.facts(),
            "pairs": compared.pairs,
            "ceilings": _ceilings(p, halves, vectors),
        }
        explanations = {text: vectors[text] for text in reading.every(said)}
        found = table.Content(compared.matches, compared.splits, compared.lists, explanations, meta)
        table.write(paths.SIMILARITY, found, transcript)
    n_explained = sum(pair["meaning"]["cosine"]["n"] for pair in compared.pairs)
    again = f"; {kept.hits} pairs as kept from before" if kept.hits else ""
    click.echo(
        f"compare: {choice}, {len(compared.matches):,} matches, {n_explained:,} of them explained on both sides, "
        f"{len(explanations):,} explanations{again}"
    )


def _explain_halves(p: params.Params, said: reading.Texts, tokens: Tokens) -> Halves:
    """Explains some latents of every coder of this project twice, from disjoint windows."""
    found: Halves = {}
    for explainer, entry in p.explainers.items() if p.compare.ceiling else ():
        chosen = {}
        for name in p.coders:
            generator = np.random.default_rng([p.seed, *name.encode(), 0xCE])
            chosen[name] = ceiling.choose(list(said[explainer][name]), p.compare.ceiling, generator)
        unit = explainers.load(explainer, entry)
        shown = (
            half
            for name, latents in chosen.items()
            for half in unit.prepare(ceiling.both(Examples.open(paths.examples(name)).of(latents)), p, name)
        )
        total = 2 * sum(map(len, chosen.values()))
        halves = bar(f"explain halves {explainer}", total=total, unit="half", iterable=shown)
        explanations = iter(list(unit.explain(halves, tokens)))  # in the order of halves
        found[explainer] = {}
        for name, latents in chosen.items():
            two = [(next(explanations).text, next(explanations).text) for _ in latents]
            found[explainer][name] = [(a, b) for a, b in two if a is not None and b is not None]
    return found


def _ceilings(p: params.Params, halves: Halves, vectors: dict[str, NDArray]) -> dict[str, Any]:
    return {
        explainer: {
            name: ceiling.figure_of(two, vectors, np.random.default_rng(p.seed)) for name, two in of_coder.items()
        }
        for explainer, of_coder in halves.items()
    }


def _made_from(p: params.Params) -> dict[str, Any]:
    """The identities of what is compared."""
    return {
        "coders": {name: Examples.open(reading.at(p, name, paths.examples)).meta["coder"] for name in reading.names(p)},
        "made_from": {
            folder.as_posix(): identity(folder)
            for folder in (paths.explanations(*pair) for pair in product(p.coders, p.explainers))
        },
        "explanations_sha256": {
            explainer: {
                name: file_sha256(reading.at(p, name, paths.explanations, explainer) / "explanations.parquet")
                for name in reading.names(p)
            }
            for explainer in p.explainers
        },
    }
