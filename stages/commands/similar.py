"""``glossa similar``: a latent's nearest relatives in all coders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stages import params, paths, plan
from stages.errors import GlossaError, check_name
from stages.text.display import sentence

if TYPE_CHECKING:
    from stages.similarity.nearby import Relatives

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
    from stages.explainers.table import texts
    from stages.machine.imports import spare_pandas
    from stages.similarity import nearby

    spare_pandas()
    folders = {name: _explanations(p, name, explainer) for name in [*p.coders, *p.compare.others]}
    explanations = {name: texts(folder) for name, folder in folders.items()}
    by_coder = nearby.relatives(p, coder, latent, explainer, explanations, n)
    if by_coder is None:
        by_coder = _looked_up(p, coder, latent, explainer, explanations, n)
    listed = []
    for name, found in by_coder.items():
        kinds = {}
        for kind, (latents, values, reason) in found.items():
            nearest_ones = zip(latents, values, strict=True)
            kinds[kind] = {
                "reason": reason,
                "relatives": [
                    {"latent": i, "value": value, "explanation": explanations[name].get(i)} for i, value in nearest_ones
                ],
            }
        listed.append({"coder": name, **kinds})
    own = explanations[coder].get(latent)
    return {"coder": coder, "latent": latent, "explainer": explainer, "explanation": own, "relatives": listed}


def _explanations(p: params.Params, coder: str, explainer: str) -> Path:
    folder, name = plan.place(p.compare, coder)
    return folder / paths.explanations(name, explainer)


def _looked_up(
    p: params.Params, coder: str, latent: int, explainer: str, explanations: dict[str, dict[int, str]], n: int
) -> dict[str, dict[str, Relatives]]:
    """What is nearest by the weights themselves, whose directions are kept for the next time."""
    from stages.corpus.tokens import Tokens
    from stages.examples.table import Examples
    from stages.machine import runtime
    from stages.similarity import embedded, nearby, reading
    from stages.similarity.relatives import relatives
    from stages.subject.load import pick_device

    said = {explainer: explanations}
    vectors = embedded.vectors(p, reading.every(said))
    tokens = Tokens.open()
    coders = reading.coders(p, said, vectors, tokens)
    n_latents = len(coders[coder].firing.density)
    if latent >= n_latents:
        raise GlossaError(f"the coder {coder} has latents 0 to {n_latents - 1}, but no {latent}")
    sources = reading.sources(p, tokens, pick_device(runtime.load().device), with_stores=True)
    found = {name: relatives(coders[coder], latent, other, explainer, sources, n) for name, other in coders.items()}
    for name in p.coders:
        with suppress(GlossaError):  # which is the reason of a kind
            one = sources.directions[name]
            if one.decoder is not None and one.encoder is not None:
                own = nearby.Directions(one.decoder.cpu().numpy(), one.encoder.cpu().numpy(), one.writes, one.reads)
                nearby.keep(name, Examples.open(paths.examples(name)).meta, own)
    return found


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
