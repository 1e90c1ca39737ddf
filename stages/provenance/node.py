"""What a chain of provenance is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Status = Literal["ok", "differs", "unchecked"]


class Fact(NamedTuple):
    """Something that is known of a thing."""

    name: str
    value: Any
    """Text, a number or a truth value."""
    status: Status | None = None
    """Whether it is still so; None where nothing can be compared."""
    said: str = ""
    """By what it was checked, how it differs, or why it was not checked."""


@dataclass
class Node:
    """A thing in the chain, such as an answer, and what it was made from."""

    kind: str
    name: str
    """Unique among those of its kind."""
    facts: list[Fact] = field(default_factory=list)
    sources: list[Node] = field(default_factory=list)
    stage: str | None = None
    """The stage that made it, as DVC calls it."""

    def add(self, name: str, value: Any, status: Status | None = None, said: str = "") -> None:
        """Adds a fact."""
        self.facts.append(Fact(name, value, status, said))

    def expect(self, name: str, value: Any, holds: bool, by: str, otherwise: str = "") -> None:
        """Adds a fact that was compared: ``by`` says with what, ``otherwise`` how it differs if it does not hold."""
        self.facts.append(Fact(name, value, "ok", by) if holds else Fact(name, value, "differs", otherwise or by))

    def walk(self) -> Iterator[Node]:
        """Yields itself and all below it, each once."""
        seen: set[tuple[str, str]] = set()
        ahead = [self]
        while ahead:
            node = ahead.pop()
            if (node.kind, node.name) not in seen:
                seen.add((node.kind, node.name))
                yield node
                ahead += reversed(node.sources)
