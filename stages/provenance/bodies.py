"""How two requests differ."""

from __future__ import annotations

import json
from typing import Any

from stages.provenance.values import shown

CONTEXT = 20
"""Characters shown on either side of the place where two texts part."""


def difference(due: bytes, sent: bytes) -> str:
    """Says how the request that is due differs from the one that was sent."""
    now, was = json.loads(due), json.loads(sent)
    for key in sorted({*now, *was} - {"messages"}):
        if now.get(key) != was.get(key):
            return f"would be sent with {key} {shown(now.get(key))}, was sent with {shown(was.get(key))}"
    return _turns(now["messages"], was["messages"])


def _turns(now: list[dict[str, Any]], was: list[dict[str, Any]]) -> str:
    for number, (due, sent) in enumerate(zip(now, was, strict=False), 1):
        if due != sent:
            place = _parting(due["content"], sent["content"])
            begin = max(0, place - CONTEXT)
            return (
                f"turn {number} of {len(was)} ({sent['role']}) would say {shown(due['content'][begin : place + CONTEXT])} at "
                f"character {place}, said {shown(sent['content'][begin : place + CONTEXT])}"
            )
    return f"would be sent with {len(now)} turns, was sent with {len(was)}"


def _parting(a: str, b: str) -> int:
    """The first place where two texts differ."""
    for place, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return place
    return min(len(a), len(b))
