"""``glossa search``: latents by what their explanations mean."""

from __future__ import annotations

import json

import click

from stages import params
from stages.errors import GlossaError, check_name
from stages.text.display import sentence


@click.command("search")
@click.argument("text")
@click.option("--nearest", "n", type=click.IntRange(min=1), default=10, show_default=True, help="Latents to show.")
@click.option("--coder", "coders", multiple=True, help="Search this coder only; may be given several times.")
@click.option("--explainer", "explainers", multiple=True, help="Search what this explainer says only; likewise.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(text: str, n: int, coders: tuple[str, ...], explainers: tuple[str, ...], as_json: bool) -> None:
    """Find the latents whose explanations are nearest in meaning to TEXT, in all coders."""
    p = params.load()
    for wanted, known, what in (
        (coders, [*p.coders, *p.compare.others], "coder"),
        (explainers, p.explainers, "explainer"),
    ):
        for name in wanted:
            check_name(what, name, known)
    if not text.strip():
        raise GlossaError("the text to search for should not be empty; say what the latents should mean")
    found = _search(p, text, n, coders, explainers)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    width = max((len(f"{entry['coder']} {entry['latent']}") for entry in found), default=0)
    for entry in found:
        place = f"{entry['coder']} {entry['latent']}"
        by = "" if len(p.explainers) == 1 else f"{entry['explainer']}: "
        click.echo(f"{entry['cosine']:5.2f}  {place:<{width}}  {by}{sentence(entry['explanation'])}")
    if not found:
        click.echo("no latent is explained")


def _search(p: params.Params, text: str, n: int, coders: tuple[str, ...], explainers: tuple[str, ...]) -> list[dict]:
    import numpy as np

    from stages.explainers.table import texts
    from stages.similarity import embedded, reading

    said = {
        explainer: {coder: found for coder, found in of_coder.items() if not coders or coder in coders}
        for explainer, of_coder in reading.said(p, texts).items()
        if not explainers or explainer in explainers
    }
    every = sorted(reading.every(said))
    if not every:
        return []
    query, vectors = embedded.query(p, text, every)
    cosine = dict(zip(every, (np.array([vectors[one] for one in every]) @ query).tolist(), strict=True))
    found = [
        {"coder": coder, "latent": latent, "explainer": explainer, "cosine": cosine[one], "explanation": one}
        for explainer, of_coder in said.items()
        for coder, latents in of_coder.items()
        for latent, one in latents.items()
    ]
    return sorted(found, key=lambda entry: -entry["cosine"])[:n]  # of equal ones the first in params.yaml
