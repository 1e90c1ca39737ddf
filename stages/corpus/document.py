"""One document of a corpus, as every text source yields it."""

from __future__ import annotations

from typing import Any, NamedTuple

Turn = dict[str, Any]
"""A message of a conversation: ``role``, ``content`` and whatever else a chat template may read."""


class Document(NamedTuple):
    """A text or a conversation, and the name by which a reader can find it again in its source."""

    name: str
    text: str
    """Empty of a conversation, whose text a chat template writes."""
    turns: tuple[Turn, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read in it."""
        return not self.turns and not self.text.strip()
