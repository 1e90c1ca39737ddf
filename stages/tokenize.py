"""Stage ``tokenize``: the corpus -> data/tokens."""

from __future__ import annotations

import click

from stages import params, paths
from stages.corpus import tokens
from stages.corpus.encode import encode
from stages.corpus.sources import documents


@click.command("tokenize")
def command() -> None:
    """Turn the corpus into rows of tokens, and note the document of every row."""
    p = params.load()
    encoded = encode(
        documents(p.corpus),
        p.subject.model,
        p.subject.revision,
        p.corpus.context_length,
        p.corpus.tokens,
        p.seed,
    )
    tokens.write(paths.TOKENS, encoded.tokens, encoded.documents, encoded.vocabulary, encoded.meta)
    click.echo(f"tokenize: {encoded.summary}")
