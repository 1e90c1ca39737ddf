"""``glossa publish``: the data set, where others find it."""

from __future__ import annotations

import re

import click

from stages import paths
from stages.dataset.columns import CONFIGS
from stages.errors import GlossaError


@click.group("publish")
def command() -> None:
    """Publish results/dataset."""


@command.command("hf")
@click.argument("repository", metavar="OWNER/NAME")
@click.option(
    "--license", "licence", help="The Hub's name of a licence, such as cc-by-4.0, for the card, which states none."
)
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(list(CONFIGS)),
    help="Leave this configuration out; may be given again.",
)
@click.option("--private", is_flag=True, help="Make the repository a private one, if it is not there yet.")
@click.option("--tag", help="Tag the commit, such as v1.0.0.")
@click.option("--message", default="Explanations and scores by Glossa", show_default=True, help="Of the commit.")
def hugging_face(
    repository: str, licence: str | None, without: tuple[str, ...], private: bool, tag: str | None, message: str
) -> None:
    """Upload results/dataset to the Hugging Face Hub as the data set OWNER/NAME, card included, in one commit.

    The repository is made unless it is there; a card that was edited there is written over. The token is that of HF_TOKEN or of hf auth login.
    """
    from stages.dataset import upload

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise GlossaError(f"the data set should be named OWNER/NAME, found {repository}; name it so")
    files = upload.prepared(paths.DATASET, licence, without)
    found = upload.send(repository, files, private, tag, message)
    click.echo(
        f"publish: {found.files} files at {found.url}, commit {found.commit[:12]}{f', tag {tag}' if tag else ''}"
    )
    if licence is None:
        click.echo("publish: the card states no licence, so nobody may use the data; choose one with --license")
