"""Language models that explain and judge, all behind one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Protocol

from stages import params, registry
from stages.llm.request import Answer, Request
from stages.params import Section


class Model(Protocol):
    """What can be asked."""

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yields one answer for every request, in their order."""


class Provider(Section, ABC):
    """What every provider offers as ``Options``: an entry of params.yaml that can answer, as a ``Model`` does."""

    APART: ClassVar[bool] = False
    """Whether several processes may load it at once, as it holds nothing and asks nobody."""

    @abstractmethod
    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yields one answer for every request, in their order."""


def load(key: str, entry: dict[str, Any]) -> Model:
    """Returns the model that params.yaml describes under ``key``.

    Raises:
        GlossaError: its provider or one of its options is unknown or out of range, or its file lacks a part of a provider.
    """
    model = params.parse(
        registry.options(registry.PROVIDERS, entry.get("provider", ""), f"{key}.provider", Provider), entry, key
    )
    make = _stand_in.get()
    return model if make is None else make(model)


_stand_in: ContextVar[Callable[[Model], Model] | None] = ContextVar("stand_in", default=None)


def stand_in() -> Callable[[Model], Model] | None:
    """Returns what makes models of models, while it does."""
    return _stand_in.get()


@contextmanager
def standing_in(make: Callable[[Model], Model]) -> Iterator[None]:
    """While it lasts, ``load`` returns what ``make`` makes of a model, such as one that only notes what it is asked."""
    before = _stand_in.set(make)
    try:
        yield
    finally:
        _stand_in.reset(before)
