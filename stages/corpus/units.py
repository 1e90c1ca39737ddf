"""What consecutive tokens show: a character that several tokens spell is one unit with all of them, wherever it is shown or judged.

Byte-level tokens may hold parts of characters: one of a Chinese text or an emoji is often three. Tokens belong to one unit if no text lies
between them that one of them ends with, so that the texts of all units, joined, are the text of the tokens. Bytes that never
become a character, as at the edge of a window that cuts one, are U+FFFD.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.corpus.tokens import Vocabulary


class Unit(NamedTuple):
    """One token, or several that only together spell whole characters."""

    begin: int
    """The place of its first token …"""
    end: int
    """… and the one behind its last."""
    text: str
    """What it shows; the name of a special token."""
    special: bool = False
    """Whether it is a special token, which is always a unit of its own."""


def units(ids: Iterable[int], vocabulary: Vocabulary) -> list[Unit]:
    """Returns what consecutive tokens show, in order; every token is in exactly one unit."""
    strings, special, whole = vocabulary.strings, vocabulary.special, vocabulary.whole
    ids = np.fromiter(ids, np.int64)
    if whole[ids].all():  # the rule, by far the faster
        return list(
            map(
                Unit,
                range(len(ids)),
                range(1, len(ids) + 1),
                map(strings.__getitem__, ids.tolist()),
                special[ids].tolist(),
            )
        )
    found: list[Unit] = []
    pieces: list[bytes] = []  # of the tokens behind the last unit

    def close() -> None:
        first = found[-1].end if found else 0
        found.extend(Unit(first + begin, first + end, text) for begin, end, text in joined(pieces))
        pieces.clear()

    for token in ids.tolist():
        if whole[token]:
            if pieces:
                close()
            place = found[-1].end if found else 0
            found.append(Unit(place, place + 1, strings[token], bool(special[token])))
        else:
            pieces.append(vocabulary.spellings[token])
    close()
    return found


def parts(vocabulary: Vocabulary) -> NDArray[np.bool_]:
    """Returns [vocabulary] which tokens spell no text on their own: a unit of several tokens is made of such."""
    pairs = zip(vocabulary.strings, vocabulary.spellings, strict=True)
    is_text = [bool(spelling) and text.encode() == spelling for text, spelling in pairs]
    return ~(np.array(is_text, bool) | vocabulary.special)


def joined(pieces: Sequence[bytes]) -> Iterator[tuple[int, int, str]]:
    """Yields the units of consecutive pieces of UTF-8: the first of its pieces, the one behind its last, and its text."""
    characters = _characters(b"".join(pieces))
    begin, reached, at, text = 0, 0, 0, ""
    for number, piece in enumerate(pieces):
        at += len(piece)
        while reached < at:
            size, character = next(characters)
            reached += size
            text += character
        if reached == at:
            yield begin, number + 1, text
            begin, text = number + 1, ""


def _characters(data: bytes) -> Iterator[tuple[int, str]]:
    """Every character and how many bytes it takes; U+FFFD for bytes that are none, as ``bytes.decode`` replaces them."""
    while data:
        try:
            text, size = data.decode(), len(data)
        except UnicodeDecodeError as error:
            text, size = data[: error.start].decode(), error.end
            yield from ((len(character.encode()), character) for character in text)
            yield error.end - error.start, "\ufffd"
        else:
            yield from ((len(character.encode()), character) for character in text)
        data = data[size:]


def largest(found: Sequence[Unit], values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Returns [units] the largest of the values [tokens] of each unit's tokens."""
    return np.maximum.reduceat(values, [unit.begin for unit in found]) if found else values[:0]


def at_first(found: Sequence[Unit], n: int) -> list[str]:
    """Returns what each of ``n`` tokens shows: the text of a unit at its first token, nothing at the others."""
    texts = [""] * n
    for unit in found:
        texts[unit.begin] = unit.text
    return texts
