"""Models that ask nobody: they note what would be asked, and answer what the journal knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from stages.llm import Model
from stages.llm.call import Call
from stages.llm.journal import canonical
from stages.llm.providers.transformers import Options as Local
from stages.llm.request import NOT_ASKED as UNANSWERED
from stages.llm.request import Answer, Request
from stages.llm.server import faults, turns
from stages.llm.server.exchange import Question, exchange
from stages.llm.server.options import Server
from stages.llm.server.turns import Known, Shape

TEXT = "a placeholder for what a model will say, of about the length that explanations have, which is a sentence or two, number"
"""What is assumed to be said where nothing has been: 120 characters and a number that tells it from others."""


class Noted(NamedTuple):
    """One question as it would be asked."""

    options: Server | Local
    request: Request
    question: Question
    key: str
    call: Call | None
    """Its answer, if it is known."""

    @property
    def assumed(self) -> bool:
        """Whether it holds what a placeholder said, in the place of what a model will say."""
        return TEXT.encode() in self.question.body


class Rehearsal:
    """Makes, of a model, one that asks nobody; the built-in one stays as it is."""

    def __init__(
        self,
        journal: Known,
        note: Callable[[Noted], Any],
        placeholders: bool = False,
        shape: Callable[[Server], Shape] = lambda _: "turn",
    ):
        """``note`` is told of every question; with ``placeholders`` those that nobody has answered are answered by one.

        Without, they are unanswered, and whatever depends on them is not asked. ``shape`` says where the instructions for a server stand
        that its options leave open, where ``journal`` does not know the first question in any.
        """
        self.journal, self.note, self.placeholders, self.shape = journal, note, placeholders, shape

    def __call__(self, model: Model) -> Model:
        """Returns what stands in for ``model``."""
        return _Rehearsed(model, self) if isinstance(model, Server | Local) else model


class _Rehearsed:
    def __init__(self, options: Server | Local, rehearsal: Rehearsal):
        self._options, self._rehearsal = options, rehearsal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._options, name)

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yields what the journal knows, at once."""
        settled = None
        for request in requests:
            options = self._options
            if isinstance(options, Server) and turns.is_open(options, request):
                settled = settled or self._settled(options, request)
                options = settled
            yield self._answer(options, request)

    def log_probabilities(self, prompts: Any, continuations: Any) -> Any:
        raise NothingAskedError

    def local(self) -> Any:
        raise NothingAskedError

    def _settled(self, options: Server, request: Request) -> Server:
        """The options as a session would settle them by its first request, without asking anybody."""
        known = turns.as_asked(options, request, self._rehearsal.journal)
        return known or options.settled(self._rehearsal.shape(options))

    def _answer(self, options: Server | Local, request: Request) -> Answer:
        rehearsal = self._rehearsal
        asking = exchange(options, request)
        question = next(asking)
        while True:
            key = canonical.key(options.endpoint, question.body, question.number)
            call = rehearsal.journal.get(key)
            rehearsal.note(Noted(options, request, question, key, call))
            if call is None:
                if not rehearsal.placeholders:
                    return Answer(None, UNANSWERED)
                return Answer(_placeholder(request, key))
            try:
                question = asking.send((call, faults.kept(call.status, call.response)))
            except StopIteration as end:
                return end.value.answer


class NothingAskedError(Exception):
    """A model computes something else than answers, which is no call."""


def _placeholder(request: Request, key: str) -> str:
    """An answer as one may come, the question's own, so that what follows from it can be rehearsed as well."""
    text = f"{TEXT} {key[:8]}"
    return text if request.schema is None else json.dumps(_value(request.schema, text))


def _value(schema: dict[str, Any], text: str) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "object":
            return {key: _value(part, text) for key, part in schema["properties"].items()}
        case "array":
            return [_value(schema["items"], text)]
        case "boolean":
            return False
        case "integer" | "number":
            return 0
        case "null":
            return None
        case _:
            return text
