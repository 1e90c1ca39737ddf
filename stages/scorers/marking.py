"""Marks on windows: those of firing tokens, and others that nothing but their text tells from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.corpus.tokens import Vocabulary
from stages.examples.marks import Shown
from stages.examples.table import Windows

TRIES = 20
"""Placements of runs that are tried before a window is taken to be too full."""


def shown(windows: Windows, vocabulary: Vocabulary) -> Shown:
    """Returns what the tokens of windows show."""
    return Shown.of(windows.tokens, windows.activations, vocabulary)


def masks_of(windows: Shown, threshold: float) -> NDArray[np.bool_]:
    """Returns [windows, units] which units are marked: those from the share ``threshold`` of their window's maximum on."""
    activations = windows.activations
    found: NDArray[np.bool_] = (activations > 0) & (
        activations >= threshold * activations.max(axis=1, initial=0.0, keepdims=True)
    )
    return found


def like(
    masks: NDArray[np.bool_], windows: Shown, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Returns the windows on which marks can be put, and on each one of ``masks``, chosen at random among those that fit it.

    A mask fits whole if possible, else in part: marks are never put on special tokens or behind the window's end.
    """
    n, width = windows.special.shape
    masks, room = _wide(masks, width), ~windows.special & windows.there
    room = _wide(room, masks.shape[1])
    alike, which = _alike(room)
    # Most windows have room everywhere, so that the same masks fit them.
    usable = [_usable(masks, one) for one in alike]
    sizes = np.array([len(found) for found in usable], np.int64)[which] if n else np.empty(0, np.int64)
    there = np.flatnonzero(sizes)
    if not len(there):
        return there, np.empty((0, width), bool)
    drawn = generator.integers(sizes[there])
    begins = np.cumsum([0, *map(len, usable)])
    chosen = np.concatenate(usable)[begins[which[there]] + drawn]
    return there, (masks[chosen] & room[there])[:, :width]


def _usable(masks: NDArray[np.bool_], room: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The masks that fit into the ``room`` of a window."""
    marks = (masks & room).sum(axis=1)
    whole = (marks == masks.sum(axis=1)) & (marks > 0)
    return np.flatnonzero(whole if whole.any() else marks > 0)


def _wide(rows: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """``rows`` with no marks, or no room, up to so many units."""
    missing = max(0, width - rows.shape[1])
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows


def _alike(rows: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The different rows, and of every row which of them it is."""
    places: dict[bytes, int] = {}
    which = [places.setdefault(row.tobytes(), len(places)) for row in rows]
    first = np.unique(which, return_index=True)[1] if len(rows) else np.empty(0, np.int64)
    return rows[first], np.array(which, np.int64)


def moved(mask: NDArray[np.bool_], free: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.bool_] | None:
    """Returns as many runs of marks of the same lengths on units that are ``free``; None if there is no room.

    Runs do not touch each other.
    """
    marked, room = _bits(mask), _bits(free)
    runs = []
    while marked:
        rest = marked & (marked + (marked & -marked))  # without the first run
        runs.append((marked ^ rest).bit_count())
        marked = rest
    runs.sort(reverse=True)
    for _ in range(TRIES if runs else 0):
        found = _placed(runs, room, generator)
        if found is not None:
            taken = np.frombuffer(found.to_bytes(-(-len(mask) // 8), "little"), np.uint8)
            return np.unpackbits(taken, count=len(mask), bitorder="little").astype(bool)
    return None


def _bits(places: NDArray[np.bool_]) -> int:
    """The places that are true as bits of a number, the first one the lowest."""
    return int.from_bytes(np.packbits(places, bitorder="little").tobytes(), "little")


def _placed(runs: list[int], room: int, generator: np.random.Generator) -> int | None:
    """Places as bits: a run begins where it has room and no other lies in it or beside it."""
    taken = 0
    for length in runs:
        usable = room & ~(taken | taken << 1 | taken >> 1)
        begins = usable
        for further in range(1, length):
            begins &= usable >> further
        if not begins:
            return None
        for _ in range(generator.integers(begins.bit_count())):
            begins &= begins - 1  # without the first
        taken |= ((1 << length) - 1) * (begins & -begins)
    return taken
