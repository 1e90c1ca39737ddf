"""``glossa similar``: a latent's nearest relatives in all coders."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from stages import params
from stages.errors import GlossaError, check_name
from stages.text.display import sentence

SAID = {
    "decoder": "writes the most similar direction",
    "encoder": "reads the most similar direction",
    "activations": "fires most often and most strongly together with it",
    "meaning": "is explained most similarly",
}


@click.command("similar")
@click.argument("coder")
@click.argument("latent", type=click.IntRange(min=0))
@click.option(
    "--nearest", "n", type=click.IntRange(min=1), default=3, show_default=True, help="Relatives of each kind."
)
@click.option("--explainer", help="Whose explanations are compared [default: the first of params.yaml].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(coder: str, latent: int, n: int, explainer: str | None, as_json: bool) -> None:
    """Show the nearest relatives of LATENT of CODER in all coders: by direction, by activations and by meaning.

    Weights and activations are read where they are at hand; what is not is said.
    """
    p = params.load()
    chosen = explainer or next(iter(p.explainers))
    for name, known, what in ((coder, p.coders, "coder"), (chosen, p.explainers, "explainer")):
        check_name(what, name, known)
    found = _relatives(p, coder, latent, chosen, n)
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for line in _lines(found):
        click.echo(line)


def _relatives(p: params.Params, coder: str, latent: int, explainer: str, n: int) -> dict:
    from stages.corpus.tokens import Tokens
    from stages.explainers.table import texts
    from stages.machine import runtime
    from stages.similarity import embedded, reading
    from stages.similarity.relatives import KINDS, relatives
    from stages.subject.load import pick_device

    said = {explainer: reading.said(p, texts)[explainer]}
    vectors = embedded.vectors(p, reading.every(said))
    tokens = Tokens.open()
    coders = reading.coders(p, said, vectors, tokens)
    n_latents = len(coders[coder].firing.density)
    if latent >= n_latents:
        raise GlossaError(f"the coder {coder} has latents 0 to {n_latents - 1}, but no {latent}")
    sources = reading.sources(p, tokens, pick_device(runtime.load().device), with_stores=True)
    explanations = said[explainer]
    listed = []
    for name, other in coders.items():
        found = relatives(coders[coder], latent, other, explainer, sources, n)
        kinds = {}
        for kind in KINDS:
            nearest_ones = zip(found[kind].latents, found[kind].values, strict=True)
            kinds[kind] = {
                "reason": found[kind].reason,
                "relatives": [
                    {"latent": i, "value": value, "explanation": explanations[name].get(i)} for i, value in nearest_ones
                ],
            }
        listed.append({"coder": name, **kinds})
    own = explanations[coder].get(latent)
    return {"coder": coder, "latent": latent, "explainer": explainer, "explanation": own, "relatives": listed}


def _lines(found: dict) -> Iterator[str]:
    yield click.style(f"{found['coder']}, latent {found['latent']}", bold=True)
    yield f"  {sentence(found['explanation']) if found['explanation'] else 'not explained'}"
    for other in found["relatives"]:
        yield ""
        yield click.style(other["coder"], bold=True)
        for kind, said in SAID.items():
            reason = other[kind]["reason"]
            yield click.style(f"  {said}" + (f": unknown, {reason}" if reason else ""), dim=True)
            for relative in other[kind]["relatives"]:
                text = relative["explanation"]
                yield f"  {relative['value']:5.2f}  {relative['latent']:<7} {sentence(text) if text else 'not explained'}"
