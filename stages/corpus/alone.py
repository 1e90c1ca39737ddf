r"""What a token shows where no other stands beside it that could complete its characters: in a list, or at the edge of a window.

A byte-level token may hold a part of a character. In a list of single tokens its bytes are spelt, as ``\xe4\xb8``, so that two
that differ look different; at the edge of a window nobody can tell what the character was, and nobody is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from stages.corpus.tokens import Vocabulary
from stages.corpus.units import Unit


def alone(token: int, vocabulary: Vocabulary) -> str:
    r"""Returns what ``token`` shows on its own; bytes that are no character as ``\xe4\xb8``."""
    return vocabulary.spellings[token].decode("utf-8", "backslashreplace")


def is_unreadable(unit: Unit, ids: Sequence[int], vocabulary: Vocabulary) -> bool:
    """Whether all that a unit of these tokens shows is a cut character; a U+FFFD that the corpus itself holds is read as one."""
    return unit.text.strip(" \ufffd") == "" and unit.text.encode() != b"".join(
        vocabulary.spellings[token] for token in ids[unit.begin : unit.end]
    )
