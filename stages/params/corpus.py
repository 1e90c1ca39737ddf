"""``corpus``: the text that the subject reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.params.base import Section


class Rows(Section):
    """How documents become rows of tokens."""

    context_length: Annotated[int, Field(ge=8, le=1_048_576)]
    tokens: Annotated[int, Field(ge=1)]
    bos: Annotated[str, Field(min_length=1)] = "auto"
    """What every row begins with: ``none``, a token of the vocabulary, or ``auto``, what the tokenizer itself puts in front of a text."""


class InstalledDocs(Rows):
    """The docstrings of installed packages."""

    source: Literal["installed-docs"]
    packages: Annotated[list[str], Field(min_length=1)]
    split: Literal["train", "held-out", "all"] = "held-out"


class LocalText(Rows):
    """A file or a folder of text, JSON Lines or Parquet files."""

    source: Literal["text", "jsonl", "parquet"]
    path: str
    field: str = "text"
    """``data.text`` is the field ``text`` inside ``data``."""


class HubDataset(Rows):
    """A data set in the layout of the Hugging Face Hub, streamed at a pinned revision."""

    source: Literal["hub"]
    path: str
    revision: str
    name: str | None = None
    split: str = "train"
    field: str = "text"


class TokenIds(Rows):
    """A file or a folder of ready token ids: NumPy, Parquet, Arrow or JSON Lines. The subject need not have a tokenizer."""

    source: Literal["tokens"]
    path: str
    field: str = "input_ids"


Texts = InstalledDocs | LocalText | HubDataset
"""What is read by the tokenizer of the subject."""

Corpus = Annotated[Texts | TokenIds, Field(discriminator="source")]
