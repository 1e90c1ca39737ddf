"""What was asked of language models: calls and tokens, as the servers counted them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import GlossaError, said
from stages.llm.journal import transcript
from stages.site.calls import parsed, usage


class Cost(NamedTuple):
    """Of one stage, or of several."""

    calls: int = 0
    prompt: int = 0
    """Tokens that were read, of the calls whose tokens were counted."""
    answer: int = 0
    """Tokens that were written."""
    uncounted: int = 0
    """Calls whose tokens the server did not count."""

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))


def cost(folder: Path) -> Cost:
    """Returns what a stage asked, nothing if it has no transcript; raises GlossaError if that is damaged."""
    path = folder / transcript.NAME
    if not path.is_file():
        return Cost()
    total = Cost()
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(transcript.ROWS, columns=["response"]):
                for response in batch.column(0).to_pylist():
                    counts = usage(parsed(response))
                    total += Cost(1, *counts) if counts else Cost(1, uncounted=1)
    except (pa.ArrowInvalid, OSError) as error:
        why = said(error, whole=True)
        raise GlossaError(f"expected a transcript in {path}, but it can't be read ({why}); run dvc repro") from None
    return total
