"""One document of a corpus, as every text source yields it."""

from __future__ import annotations

from typing import NamedTuple


class Document(NamedTuple):
    """A text and the name by which a reader can find it again in its source."""

    name: str
    text: str
