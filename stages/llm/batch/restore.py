"""Answers that come another way than by a call, from a transcript or a batch file: checked, then into the journal."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from stages.llm.call import Call
from stages.llm.journal import canonical
from stages.llm.journal.store import Journal
from stages.llm.server import faults

AT_ONCE = 256
"""Calls in a transaction: short enough for another process to write in between."""


class Added(NamedTuple):
    """What became of calls that were to be added."""

    new: int = 0
    known: int = 0
    """Were in the journal before; it keeps what it has."""
    refused: int = 0
    """Are no answer, or none to the request that their key stands for."""


def add(journal: Journal, calls: Iterable[Call], source: str) -> Added:
    """Adds the calls that stand up to a check; ``source`` says where they come from."""
    new = known = refused = 0
    calls = iter(calls)
    while part := list(islice(calls, AT_ONCE)):
        sound = [call for call in part if is_sound(call)]
        added = journal.add(sound, source)
        new += added
        known += len(sound) - added
        refused += len(part) - len(sound)
    return Added(new, known, refused)


def is_sound(call: Call) -> bool:
    """Whether the key stands for the request and the response is an answer."""
    if call.key != canonical.key(call.endpoint, call.request, call.sample, call.path):
        return False
    try:
        faults.read(call.status, {}, call.response)
    except faults.AttemptError as fault:
        return fault.is_failure and fault.kind == "down"
    return True
