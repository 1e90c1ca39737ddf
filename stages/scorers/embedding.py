"""``embedding``: are the windows in which the latent fires nearer to the explanation (arXiv 2410.13928, §3.3.4)?"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages import runtime
from stages.corpus.tokens import Vocabulary
from stages.params import Section
from stages.scorers import Item, Scored, metrics
from stages.scorers.shown import verdict, windows
from stages.scorers.table import by_item, scores_schema, verdicts_schema


class Options(Section):
    """The entry ``{kind: embedding, embedder: …}``."""

    kind: Literal["embedding"]
    embedder: str = "all-MiniLM-L6-v2"
    latents: Annotated[int, Field(ge=1)] | None = None

    def score(self, items: list[Item], vocabulary: Vocabulary, seed: int) -> Scored:
        """Ranks the windows by cosine with the explanation; the score is the AUROC of that ranking."""
        from stages.similarity import embedder

        model = embedder.load(self.embedder, runtime.load().device)
        shown = [(item, windows(item, vocabulary)) for item in items]
        texts = sorted({text for item, examples in shown for text in (item.text, *(e.text for e in examples))})
        vectors = dict(zip(texts, model.encode(texts), strict=True))
        rows = [
            verdict(item, example, value=float(np.dot(vectors[example.text], vectors[item.text])))
            for item, examples in shown
            for example in examples
        ]
        rows.sort(key=lambda row: (row["explanation"], row["latent"], row["window"]))
        verdicts = pa.Table.from_pylist(rows, schema=verdicts_schema())
        return Scored(verdicts, _scores(verdicts, seed), "auroc", {"embedder": model.identity})


def _scores(verdicts: pa.Table, seed: int) -> pa.Table:
    rows = []
    for (control, latent), part in by_item(verdicts):
        active = part["active"].to_numpy(zero_copy_only=False).astype(bool)
        values = part["value"].to_numpy()
        figure = metrics.auroc(active, values, np.random.default_rng([seed, latent, 0xB007]))
        rows.append(
            {
                "explanation": control,
                "latent": latent,
                "score": figure.value,
                "low": figure.low,
                "high": figure.high,
                "n": len(part),
                "unscored": 0,
                "reason": figure.reason,
            }
        )
    return pa.Table.from_pylist(rows, schema=scores_schema())
