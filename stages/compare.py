"""Stage ``compare``: data/explanations and the coders' weights -> data/similarity."""

from __future__ import annotations

import click
import torch

from stages import coders, params, paths, runtime
from stages.explainers.table import texts
from stages.outputs import file_sha256
from stages.similarity import embedder, pairs, table
from stages.subject import load


@click.command("compare")
def command() -> None:
    """Match the latents of every two coders and compare what is said of them."""
    p = params.load()
    folders = {
        explainer: {coder: paths.explanations(coder, explainer) for coder in p.coders} for explainer in p.explainers
    }
    explanations = {
        explainer: {coder: texts(folder) for coder, folder in of_coder.items()}
        for explainer, of_coder in folders.items()
    }
    directions, identities = {}, {}
    subject = None
    if any(not isinstance(entry, params.Coder) for entry in p.coders.values()):  # controls are made from the subject
        subject = load.load(p.subject, p.seed, load.pick_device(runtime.load().device))
    for name, entry in p.coders.items():
        loaded = coders.from_params(name, entry, p.seed, subject)  # one at a time: its encoder is not needed
        decoder = torch.empty(loaded.n_latents, 0) if loaded.W_dec is None else loaded.W_dec
        directions[name], identities[name] = decoder.float().numpy(), loaded.identity
    del subject

    matched = pairs.match_all(directions)
    wanted = pairs.texts_to_embed(matched, explanations)
    model = embedder.load(p.compare.embedder, runtime.load().device) if wanted else None
    vectors = {} if model is None else dict(zip(wanted, model.encode(wanted), strict=True))
    compared = pairs.compare(matched, explanations, vectors, p.seed)
    meta = {
        "coders": identities,
        "explanations_sha256": {
            explainer: {coder: file_sha256(folder / "explanations.parquet") for coder, folder in of_coder.items()}
            for explainer, of_coder in folders.items()
        },
        "embedder": None if model is None else model.identity,  # null: there was nothing to embed
        "pairs": compared.pairs,
    }
    table.write(paths.SIMILARITY, compared.matches, meta)
    explained = sum(pair["n_explained"] for pair in compared.pairs)
    click.echo(
        f"compare: {len(matched)} pairs of coders, {len(compared.matches):,} matches, "
        f"{explained:,} of them explained on both sides, {len(wanted):,} texts embedded"
    )
