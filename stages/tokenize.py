"""Stage ``tokenize``: the corpus -> data/tokens."""

from __future__ import annotations

from pathlib import Path

import click

from stages import params, paths
from stages.corpus import sources, tokens
from stages.corpus.encode import encode

READS = ("seed", "corpus", "subject.model", "subject.revision")
"""Of params.yaml."""


@click.command("tokenize")
def command() -> None:
    """Turn the corpus into rows of tokens, and note the document of every row."""
    p = params.only(params.load(), *READS)
    if isinstance(p.corpus, params.TokenIds):
        _ready(p, p.corpus)
        return
    commit = sources.commit(p.corpus)
    encoded = encode(
        sources.documents(p.corpus, commit),
        p.subject.model,
        p.subject.revision,
        p.corpus.context_length,
        p.corpus.tokens,
        p.seed,
        p.corpus.bos,
        getattr(p.corpus, "chat", None),
    )
    meta = encoded.meta if commit is None else {**encoded.meta, "corpus": {"commit": commit}}
    tokens.write(paths.TOKENS, encoded.tokens, encoded.documents, encoded.vocabulary, meta)
    click.echo(f"tokenize: {encoded.summary}")


def _ready(p: params.Params, corpus: params.TokenIds) -> None:
    """The corpus is tokens already."""
    from stages.corpus import ready

    encoded = ready.encode(
        Path(corpus.path),
        corpus.field,
        p.subject.model,
        p.subject.revision,
        corpus.context_length,
        corpus.tokens,
        p.seed,
        corpus.bos,
    )
    tokens.write(paths.TOKENS, encoded.tokens, encoded.documents, encoded.vocabulary, encoded.meta)
    click.echo(f"tokenize: {encoded.summary}")
