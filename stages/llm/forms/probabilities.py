"""How sure a model was of every true and false in its answer, from the log-probabilities that the server reports.

The reported tokens are not trusted to be the answer: under a grammar some servers report tokens that the content lacks,
and the token that was taken may be missing from the likeliest. So the answer is looked for in the bytes of the tokens, and
a label that no reported token spells has no probability but a bound: what the reported ones leave.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from itertools import accumulate
from typing import Any

from stages.llm.request import Probability

LABELS = (b"false", b"true")
PAIR = re.compile(rb'"([a-z])"\s*:\s*(true|false)')
ROUNDING = 1e-3
"""A log-probability is at most 0, but for rounding."""

KNOWN = 0.02
"""Bounds that are at most this far apart are a probability."""


def read(content: str, span: tuple[int, int], tokens: list[Any]) -> dict[str, Probability]:
    """Returns bounds of P(true) for every key of the object at ``span`` of ``content`` that has a truth value.

    ``tokens`` is ``logprobs.content`` as a server sent it. A key is left out if its value can't be found there.
    """
    try:
        answer = content[slice(*span)].encode()
        spelt = [_spelt(token) for token in tokens]
        first = b"".join(spelt).rfind(answer)
        if first < 0:
            return {}
        ends = list(accumulate(map(len, spelt)))
        found = {}
        for pair in PAIR.finditer(answer):
            place = first + pair.start(2)
            number = bisect_right(ends, place)
            bounds = _bounds(tokens[number], place - ends[number] + len(spelt[number]))
            if bounds:
                found[pair.group(1).decode()] = bounds
        return found
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):  # not of the form that it should have
        return {}


def mass(content: str, span: tuple[int, int], tokens: list[Any]) -> float | None:
    """Returns how probable true and false were together, at most, in the place of the first label; see ``read``. None if that can't be told."""
    try:
        answer = content[slice(*span)].encode()
        first, spelt = PAIR.search(answer), [_spelt(token) for token in tokens]
        begin = b"".join(spelt).rfind(answer)
        if first is None or begin < 0:
            return None
        ends, place = list(accumulate(map(len, spelt))), begin + first.start(2)
        number = bisect_right(ends, place)
        (false, true), left = _masses(tokens[number], place - ends[number] + len(spelt[number]))
        return false + true + (0.0 if false and true else left) if false + true else None
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):  # not of the form that it should have
        return None


def value(probability: Probability | None) -> float | None:
    """Returns the bound nearer to one half if the bounds are close together, else None."""
    if probability is None or probability.high - probability.low > KNOWN:
        return None
    return min(probability, key=lambda bound: abs(bound - 0.5))


def tops(token: Any) -> int:
    """How many of the likeliest tokens are reported in the place of ``token``."""
    top = token.get("top_logprobs") if isinstance(token, dict) else None
    return len(top) if isinstance(top, list) else 0


def _spelt(token: dict[str, Any]) -> bytes:
    spelt = token.get("bytes")
    if not isinstance(spelt, list | None):  # of a number bytes() makes as many bytes
        raise TypeError("bytes that are no list")
    return token["token"].encode() if spelt is None else bytes(spelt)


def _probability(token: dict[str, Any]) -> float:
    logprob = float(token["logprob"])
    if not logprob <= ROUNDING:
        raise ValueError("a probability above 1, or none")
    return math.exp(min(logprob, 0.0))


def _bounds(taken: dict[str, Any], offset: int) -> Probability | None:
    """Bounds of P(true) at the token in which the label begins after ``offset`` bytes of something else."""
    (false, true), left = _masses(taken, offset)
    if not false + true:
        return None
    low = true / (true + false + (0.0 if false else left))
    high = (true + (0.0 if true else left)) / (true + false + (0.0 if true else left))
    return Probability(min(low, 1.0), min(high, 1.0))


def _masses(taken: dict[str, Any], offset: int) -> tuple[list[float], float]:
    """The probabilities of false and true there, as far as they were reported, and what the reported tokens leave."""
    before = _spelt(taken)[:offset].strip()
    reported = {_spelt(token): _probability(token) for token in taken.get("top_logprobs") or ()}
    reported.setdefault(_spelt(taken), _probability(taken))
    mass = [0.0, 0.0]
    for spelt, probability in reported.items():
        label = _label(spelt, before)
        if label is not None:
            mass[label] += probability
    return mass, max(0.0, 1.0 - sum(reported.values()))


def _label(spelt: bytes, before: bytes) -> int | None:
    """Which label a token begins: ``true``, `` true``, ``true,``, ``: true``, ``tr``; None if none."""
    rest = spelt.lstrip()
    if not rest.startswith(before):
        return None
    rest = rest[len(before) :].strip()
    for number, label in enumerate(LABELS):
        if rest and (label.startswith(rest) or re.match(label + rb"[\s,}]", rest)):
            return number
    return None
