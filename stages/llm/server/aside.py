"""Work on what a server sent that may take long: in a thread, so that others are answered, and nothing times out, meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

LARGE = 2**17
"""Bytes of a body that are read faster than a thread is reached a few times over: some milliseconds."""


async def aside(
    size: int, work: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """Returns what ``work`` returns; it is done in a thread if the body has more than ``LARGE`` bytes."""
    if size <= LARGE:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
