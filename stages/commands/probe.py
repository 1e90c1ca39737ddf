"""``glossa probe``: what the server of a model really does, found out anew."""

from __future__ import annotations

import json

import click

from stages import llm, params
from stages.errors import GlossaError, check_name

SAID = {
    "system": "takes instructions as a system turn",
    "schema": "answers in the form of a JSON schema",
    "logprobs": "reports log-probabilities",
    "usage": "counts tokens",
    "limit": "keeps to the limit of tokens",
    "seed": "repeats itself for the same seed",
    "repeats": "repeats itself at temperature 0",
}


@click.command("probe")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(model: str, as_json: bool) -> None:
    """Find out with a few small calls what the server of MODEL, an entry of models in params.yaml, really does."""
    from stages.llm.providers.openai import Options
    from stages.llm.server import session

    known = params.load().models
    check_name("model", model, known)
    options = llm.load(f"models.{model}", known[model])
    if not isinstance(options, Options):
        raise GlossaError(f"the model {model} is built in, there is no server to probe; name one with provider: openai")
    found = session.find_out(options)
    if as_json:
        click.echo(json.dumps(found._asdict()))
        return
    click.echo(f"{options.model} at {options.endpoint}, {options.at().base_url}")
    for name, said in SAID.items():
        click.echo(f"  {said:<40} {_shown(name, getattr(found, name))}")
    click.echo(f"  {'said, when asked for a sentence':<40} {found.came}{f' ({found.unread})' if found.unread else ''}")


def _shown(name: str, value: bool | int | None) -> str:
    if value is None:
        return "not tried"
    if not value:
        return "no, so they begin the user's first turn" if name == "system" else "no"
    return "yes" if value is True else f"the {value} likeliest"
