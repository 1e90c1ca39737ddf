"""Language models that explain and judge, all behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from stages import params, registry
from stages.llm.request import Answer, Request


class Model(Protocol):
    """What every provider offers as ``Options``: a section of params.yaml that can answer."""

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yields one answer for every request, in their order."""


def load(key: str, entry: dict[str, Any]) -> Model:
    """Returns the model that params.yaml describes under ``key``.

    Raises:
        GlossaError: its provider or one of its options is unknown or out of range.
    """
    unit = registry.load(registry.PROVIDERS, entry.get("provider", ""), f"{key}.provider")
    model = params.parse(unit.Options, entry, key)
    make = _stand_in.get()
    return model if make is None else make(model)


_stand_in: ContextVar[Callable[[Model], Model] | None] = ContextVar("stand_in", default=None)


@contextmanager
def standing_in(make: Callable[[Model], Model]) -> Iterator[None]:
    """While it lasts, ``load`` returns what ``make`` makes of a model, such as one that only notes what it is asked."""
    before = _stand_in.set(make)
    try:
        yield
    finally:
        _stand_in.reset(before)
