"""Stage ``compare``: data/explanations and the coders' weights -> data/similarity."""

from __future__ import annotations

import click

from stages import coders, params, paths, runtime
from stages.explainers.table import texts
from stages.outputs import file_sha256
from stages.similarity import embedder, pairs, table


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
    for name, section in p.coders.items():
        loaded = coders.load(section.path)  # one at a time: its encoder is not needed
        directions[name], identities[name] = loaded.W_dec.float().numpy(), loaded.identity

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
