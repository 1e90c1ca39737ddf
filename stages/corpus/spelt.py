"""Special tokens that plain texts spell, as conversations do that were written out before: read as letters, which has to be said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stages.machine.counted import counted

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def any_of(added: Iterable[str]) -> re.Pattern[str]:
    """Returns what finds any of these control tokens in a text, the longest first; of hundreds, by the characters they begin with."""
    if not (known := sorted(added, key=lambda name: (-len(name), name))):
        return re.compile("(?!)")
    begins = "".join(sorted({re.escape(name[0]) for name in known}))
    return re.compile(f"(?=[{begins}])(?:{'|'.join(map(re.escape, known))})")


class Spelt:
    """Counts the documents that spell a control token of a tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        added = tokenizer.backend_tokenizer.get_added_tokens_decoder().values()
        self._any = any_of(one.content for one in added if one.special and len(one.content) > 1)
        self._documents = 0
        self._first: str | None = None

    def look(self, text: str) -> None:
        """Takes one document."""
        if found := self._any.search(text):
            self._documents += 1
            self._first = self._first or found[0]

    def __str__(self) -> str:
        """What the stage says of it; nothing if no text spells one."""
        if self._first is None:
            return ""
        return (
            f"; {counted(self._documents, 'document')} spell{'s' * (self._documents == 1)} special tokens such as {self._first}, which are "
            "read as letters: corpus.chat reads conversations"
        )
