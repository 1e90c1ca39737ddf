"""``embedding``: are the windows in which the latent fires nearer to the explanation (arXiv 2410.13928, §3.3.4)?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import ClassVar, Literal

import numpy as np

from stages.machine import runtime
from stages.scorers import Context, Item, Judged, Judging, Metric, Scorer, summary
from stages.scorers.metrics import AUROC
from stages.scorers.shown import verdicts, windows

AT_ONCE = 512
"""Items whose windows are embedded together; it bounds the windows in memory."""

QUERY = ("query", "s2p_query")
DOCUMENT = ("document", "passage", "corpus")
"""What models call their prompts for what one looks for, and for what one looks through."""


class Options(Scorer):
    """The entry ``{kind: embedding, embedder: …}``."""

    METRIC: ClassVar[Metric] = AUROC
    COMPUTES: ClassVar[bool] = True

    kind: Literal["embedding"]
    embedder: str = "all-MiniLM-L6-v2"
    query: str | None = None
    """What explanations begin with, such as an instruction; the model's own prompt for queries, if it has one, when None."""
    document: str | None = None
    """What windows begin with; the model's own prompt for documents, if it has one, when None."""

    def judge(self, items: Collection[Item], context: Context) -> Judging:
        """Ranks the windows by cosine with the explanation."""
        from stages.embeddings import embedder, memo

        model = embedder.load(self.embedder, runtime.load().device)
        queries = model.prompted(_prompt(self.query, model.prompts, QUERY))
        documents = model.prompted(_prompt(self.document, model.prompts, DOCUMENT))
        left = iter(items)
        while some := list(islice(left, AT_ONCE)):
            shown = [windows(item, context.vocabulary) for item in some]
            query_of = memo.embed(queries, sorted({item.text for item in some}))
            document_of = memo.embed(documents, sorted({one.text for examples in shown for one in examples}))
            for item, examples in zip(some, shown, strict=True):
                query = query_of[item.text]
                cosines = [float(np.dot(document_of[example.text], query)) for example in examples]
                yield Judged(item, verdicts(item, examples, value=cosines))
        return {"embedder": {**documents.identity, "prompt": documents.prompt, "query_prompt": queries.prompt}}

    def summarise(self, judged: Sequence[Judged], context: Context) -> summary.Summary:
        """The headline is the AUROC; see ``summary.ranked``."""
        return summary.ranked(judged, context.seed)


def _prompt(wanted: str | None, known: Mapping[str, str], names: tuple[str, ...]) -> str:
    return wanted if wanted is not None else next((known[name] for name in names if known.get(name)), "")
