"""Answers that others gave to questions from files: checked line by line, the good ones kept whatever the others are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from stages.llm.batch import questions, restore
from stages.llm.batch.questions import Exported
from stages.llm.call import Call, Usage
from stages.llm.journal import canonical
from stages.llm.journal.store import Cost, Journal, Paid
from stages.llm.reply import shown
from stages.llm.server import budget, faults
from stages.machine.endpoint import Price

EXAMPLES = 3
"""Lines that are named of those that can't be used."""


@dataclass
class Kind:
    """Lines of one kind: how many there are, and the first of them."""

    n: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Counts one more."""
        self.n += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass
class Imported:
    """What became of the lines of result files."""

    new: int = 0
    known: int = 0
    """Answered before, as the journal says."""
    repeated: Kind = field(default_factory=Kind)
    """Answers to a question that an earlier line has answered."""
    foreign: Kind = field(default_factory=Kind)
    """Answers to no question of ours."""
    failed: Kind = field(default_factory=Kind)
    """No answers, as whoever was asked says."""
    damaged: Kind = field(default_factory=Kind)
    """Not of the form that they should have."""
    models: dict[str, int] = field(default_factory=dict)
    """How many of the new answers came from each model, as it calls itself."""
    missing: int = 0
    """Questions that have no answer still."""


def bring_in(
    journal: Journal, exported: Exported, files: Iterable[Path], prices: dict[tuple[str, str], Price]
) -> Imported:
    """Takes the answers out of result files into the journal; ``prices`` are those of endpoints and models."""
    found = Imported()
    answers = _answers(journal, exported, files, prices, found)
    while part := list(islice(answers, restore.AT_ONCE)):
        found.new += journal.add_paid(part, "batch")
    found.missing = sum(key not in journal for key in exported.places)
    return found


def _answers(
    journal: Journal,
    exported: Exported,
    files: Iterable[Path],
    prices: dict[tuple[str, str], Price],
    found: Imported,
) -> Iterator[Paid]:
    """Yields the answers that are new, and counts all other lines."""
    seen: set[str] = set()
    for path in files:
        for number, line in enumerate(questions.lines(path), 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                key, status, response = _result(line)
                if key not in exported.places:
                    found.foreign.add(f"{where}: {shown(key)}")
                    continue
                call = exported.call(key, response, status)
                reply = faults.read(status, {}, response)
            except _DamagedError as error:
                found.damaged.add(f"{where}: {error}")
            except (_FailedError, faults.AttemptError) as error:
                found.failed.add(f"{where}: {error}")
            else:
                if key in seen:
                    found.repeated.add(where)
                    continue
                seen.add(key)
                if key in journal:
                    found.known += 1
                    continue
                model = exported.model(key)
                named = reply.model or "a model without a name"
                found.models[named] = found.models.get(named, 0) + 1
                yield Paid(call, model, reply.usage, _cost(call, reply.usage, prices.get((call.endpoint, model))))


def _cost(call: Call, usage: Usage, price: Price | None) -> Cost:
    """What an answer did cost or, if nobody counted its tokens, what it can have cost at most."""
    cost = budget.actual(usage, price) or budget.most(call.request, _limit(call.request), price)
    return Cost(cost.tokens, cost.dollars * (price.batch if price else 1))


def _limit(request: bytes) -> int:
    """The most tokens that an answer may have."""
    body = json.loads(request)
    return body.get("max_tokens") or body.get("max_completion_tokens") or 0


class _DamagedError(Exception):
    """A line is not of the form that it should have; the message says what it is."""


class _FailedError(Exception):
    """A line says that there is no answer, and why."""


def _result(line: bytes) -> tuple[str, int, bytes]:
    """The key, the status of HTTP and the answer of a line."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise _DamagedError("no whole JSON") from None
    key = value.get("custom_id") if isinstance(value, dict) else None
    if not isinstance(key, str):
        raise _DamagedError("no custom_id")
    response, error = value.get("response"), value.get("error")
    if (
        isinstance(response, dict)
        and isinstance(response.get("body"), dict)
        and type(response.get("status_code")) is int
    ):
        try:
            return key, response["status_code"], canonical.encode(response["body"])
        except (ValueError, RecursionError):
            raise _DamagedError("a body that is no JSON") from None
    if error:
        raise _FailedError(
            shown(error.get("message") if isinstance(error, dict) else error) or "an error without a message"
        )
    raise _DamagedError("neither a response with status_code and body nor an error")
