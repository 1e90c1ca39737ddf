"""What was asked of language models: calls and tokens, as the servers counted them, and what models in this process did."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import GlossaError, said
from stages.llm.journal import transcript
from stages.machine.counted import counted
from stages.site.calls import parsed, usage

HERE = "transformers:"
"""How the endpoints of models in this process begin."""


class Cost(NamedTuple):
    """Of one stage, or of several."""

    calls: int = 0
    prompt: int = 0
    """Tokens that were read, of the calls whose tokens were counted."""
    answer: int = 0
    """Tokens that were written."""
    uncounted: int = 0
    """Calls whose tokens the server did not count."""
    here: int = 0
    """Calls that a model in this process answered."""
    read: int = 0
    """Texts whose probability a model in this process told, which takes no call."""

    @property
    def in_this_process(self) -> str:
        """What models in this process did, in words; empty if nothing."""
        said = [counted(self.here, "call")] if self.here else []
        return ", ".join([*said, counted(self.read, "text")] if self.read else said)

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))


def cost(folder: Path) -> Cost:
    """Returns what a stage asked, nothing if no language model had a part in it.

    Raises:
        GlossaError: its transcript or its verdicts are damaged.
    """
    if (path := folder / transcript.NAME).is_file():
        return sum(_batches(path, ["endpoint", "response"], _asked), Cost())
    if (path := folder / "verdicts.parquet").is_file() and _reads_here(folder / "meta.json"):
        return sum(_batches(path, ["value"], _read), Cost())
    return Cost()


def _batches(path: Path, columns: list[str], count: Callable[[pa.RecordBatch], Cost]) -> Iterator[Cost]:
    try:
        with pq.ParquetFile(path) as file:
            yield from map(count, file.iter_batches(transcript.ROWS, columns=columns))
    except (pa.ArrowInvalid, OSError) as error:
        what, why = "transcript" if path.name == transcript.NAME else "table", said(error, whole=True)
        raise GlossaError(f"expected a {what} in {path}, but it can't be read ({why}); run dvc repro") from None


def _asked(batch: pa.RecordBatch) -> Cost:
    total = Cost()
    for endpoint, response in zip(batch["endpoint"].to_pylist(), batch["response"].to_pylist(), strict=True):
        counts, here = usage(parsed(response)), int(endpoint.startswith(HERE))
        total += Cost(1, *counts, here=here) if counts else Cost(1, uncounted=1, here=here)
    return total


def _read(batch: pa.RecordBatch) -> Cost:
    """A value is what a model found of one text."""
    return Cost(read=len(batch) - batch["value"].null_count)


def _reads_here(meta: Path) -> bool:
    """Whether the judge is a model that tells how likely given texts are."""
    return str(json.loads(meta.read_bytes()).get("model", "")).startswith(HERE)
