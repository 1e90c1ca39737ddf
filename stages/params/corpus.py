"""``corpus``: the text that the subject reads."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from stages.params.base import Section


class Rows(Section):
    """How documents become rows of tokens."""

    context_length: Annotated[int, Field(ge=8, le=1_048_576)]
    tokens: Annotated[int, Field(ge=1)]
    bos: Annotated[str, Field(min_length=1)] = "auto"
    """What every row begins with: ``none``, a token of the vocabulary, or ``auto``, what the tokenizer itself puts in front of a text."""


class Fields(Rows):
    """Rows of data of which one field is a text or, if there is a ``chat``, a conversation."""

    field: str = "text"
    """``data.text`` is the field ``text`` inside ``data``."""
    chat: bool | str | None = None
    """``true``: the field is a list of messages, which the chat template of the subject's tokenizer writes as text; a path: the template
    in that file does. ``false`` is the same as nothing."""

    @field_validator("chat", mode="before")
    @classmethod
    def _true_or_a_path(cls, value: Any) -> Any:
        if not isinstance(value, bool | str | None) or value == "":
            raise PydanticCustomError("chat", "should be true, false or the path of a chat template")
        return value or None


class InstalledDocs(Rows):
    """The docstrings of installed packages."""

    source: Literal["installed-docs"]
    packages: Annotated[list[str], Field(min_length=1)]
    split: Literal["train", "held-out", "all"] = "held-out"


class LocalText(Fields):
    """A file or a folder of text, JSON Lines or Parquet files."""

    source: Literal["text", "jsonl", "parquet"]
    path: str

    @model_validator(mode="after")
    def _rows_hold_the_chat(self) -> LocalText:
        if self.source == "text" and self.chat is not None:
            raise PydanticCustomError(
                "chat", "should have no chat, as files of text hold no messages; use source: jsonl or parquet"
            )
        return self


class HubDataset(Fields):
    """A data set in the layout of the Hugging Face Hub, streamed at a pinned revision."""

    source: Literal["hub"]
    path: str
    revision: str
    name: str | None = None
    split: str = "train"


class TokenIds(Rows):
    """A file or a folder of ready token ids: NumPy, Parquet, Arrow or JSON Lines. The subject need not have a tokenizer."""

    source: Literal["tokens"]
    path: str
    field: str = "input_ids"


Texts = InstalledDocs | LocalText | HubDataset
"""What is read by the tokenizer of the subject."""

Corpus = Annotated[Texts | TokenIds, Field(discriminator="source")]
