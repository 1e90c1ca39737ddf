"""Large things by name, made when they are asked for and kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

ROOM = 2**32
"""Bytes kept from one pair of coders to the next."""
PAIR = 2
"""So many are always kept: those of the pair at hand."""


class Lru(Generic[T]):
    """What was asked for longest ago makes room for the rest."""

    def __init__(self, make: Callable[[str], T], size: Callable[[T], int], room: int = ROOM) -> None:
        self._make, self._size, self._room = make, size, room
        self._found: OrderedDict[str, T] = OrderedDict()

    def __getitem__(self, name: str) -> T:
        found = self._found.pop(name) if name in self._found else self._make(name)
        self._found[name] = found
        while len(self._found) > PAIR and sum(map(self._size, self._found.values())) > self._room:
            self._found.popitem(last=False)
        return found
