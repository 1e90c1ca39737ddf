"""``embedding``: are the windows in which the latent fires nearer to the explanation (arXiv 2410.13928, §3.3.4)?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.machine import runtime
from stages.params import Section
from stages.scorers import Context, Item, Scored, summary
from stages.scorers.shown import verdict, windows
from stages.scorers.table import verdicts_schema

QUERY = ("query", "s2p_query")
DOCUMENT = ("document", "passage", "corpus")
"""What models call their prompts for what one looks for, and for what one looks through."""


class Options(Section):
    """The entry ``{kind: embedding, embedder: …}``."""

    kind: Literal["embedding"]
    embedder: str = "all-MiniLM-L6-v2"
    query: str | None = None
    """What explanations begin with, such as an instruction; the model's own prompt for queries, if it has one, when None."""
    document: str | None = None
    """What windows begin with; the model's own prompt for documents, if it has one, when None."""
    latents: Annotated[int, Field(ge=1)] | None = None

    def score(self, items: list[Item], context: Context) -> Scored:
        """Ranks the windows by cosine with the explanation; the score is the AUROC of that ranking."""
        from stages.similarity import embedder, remembered

        model = embedder.load(self.embedder, runtime.load().device)
        queries = model.prompted(_prompt(self.query, model.prompts, QUERY))
        documents = model.prompted(_prompt(self.document, model.prompts, DOCUMENT))
        shown = [(item, windows(item, context.vocabulary)) for item in items]
        query_of = remembered.embed(queries, sorted({item.text for item in items}))
        document_of = remembered.embed(documents, sorted({one.text for _, examples in shown for one in examples}))
        rows = [
            verdict(item, example, value=float(np.dot(document_of[example.text], query_of[item.text])))
            for item, examples in shown
            for example in examples
        ]
        rows.sort(key=lambda row: (row["explanation"], row["latent"], row["window"]))
        verdicts = pa.Table.from_pylist(rows, schema=verdicts_schema())
        found = summary.ranked(verdicts, summary.rates(items), context.seed)
        facts = {"embedder": {**documents.identity, "prompt": documents.prompt, "query_prompt": queries.prompt}}
        return Scored(verdicts, *found, "auroc", facts)


def _prompt(wanted: str | None, known: Mapping[str, str], names: tuple[str, ...]) -> str:
    return wanted if wanted is not None else next((known[name] for name in names if known.get(name)), "")
