"""``corpus``: the text that the subject reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.params.base import Section


class InstalledDocs(Section):
    """The docstrings of installed packages."""

    source: Literal["installed-docs"]
    packages: Annotated[list[str], Field(min_length=1)]
    split: Literal["train", "held-out", "all"] = "held-out"
    context_length: Annotated[int, Field(ge=8, le=1_048_576)]
    tokens: Annotated[int, Field(ge=1)]


class LocalText(Section):
    """A file or a folder of text, JSON Lines or Parquet files."""

    source: Literal["text", "jsonl", "parquet"]
    path: str
    field: str = "text"
    context_length: Annotated[int, Field(ge=8, le=1_048_576)]
    tokens: Annotated[int, Field(ge=1)]


class HubDataset(Section):
    """A data set in the layout of the Hugging Face Hub, streamed at a pinned revision."""

    source: Literal["hub"]
    path: str
    revision: str
    name: str | None = None
    split: str = "train"
    field: str = "text"
    context_length: Annotated[int, Field(ge=8, le=1_048_576)]
    tokens: Annotated[int, Field(ge=1)]


Corpus = Annotated[InstalledDocs | LocalText | HubDataset, Field(discriminator="source")]
