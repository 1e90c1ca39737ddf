"""How many calls are in flight: as many as the endpoint allows, fewer while the server says that they are too many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

START = 8
CREEP = 0.05
TOLERATED = 0.1
"""The share of 429s at which nothing is changed: whoever is never turned away has not found out how much there is."""

USED = 0.8
"""An answer counts only when this share of the limit is in use: an idle gate proves nothing."""


class Gate:
    """Lets a changing number of calls through, between 1 and ``most``.

    It is looked at once a round, that is, when as many calls have ended as may be in flight. A clean round doubles the limit
    until the first 429 and adds 5 % from then on, as in UKGovernmentBEIS/inspect_ai. A round with many 429s cuts it by half
    of their share, as in DCTCP (RFC 8257), so that a few stray ones cost nothing and a wall of them halves it. A round with
    other faults changes nothing.
    """

    def __init__(self, most: int):
        self._most = most
        self.limit = min(START, most)
        self.in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._ended = self._busy = self._faults = 0
        self._turned_away = False

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Waits for a place and holds it for one attempt."""
        if self.in_flight >= self.limit:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn  # the one who sets it counts us as in flight
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()
                raise
        else:
            self.in_flight += 1
        try:
            yield
        finally:
            self._leave()

    def answered(self) -> None:
        """Takes note of an answer."""
        if self.in_flight >= USED * self.limit:
            self._end()

    def busy(self) -> None:
        """Takes note of a 429."""
        self._turned_away = True
        self._busy += 1
        self._end()

    def troubled(self) -> None:
        """Takes note of another fault."""
        self._faults += 1
        self._end()

    def _end(self) -> None:
        self._ended += 1
        if self._ended < self.limit:
            return
        share = self._busy / self._ended
        if share > TOLERATED:
            self.limit = max(1, int(self.limit * (1 - share / 2)))
        elif not self._busy and not self._faults:
            step = max(1, int(self.limit * CREEP)) if self._turned_away else self.limit
            self.limit = min(self._most, self.limit + step)
        self._ended = self._busy = self._faults = 0
        self._admit()

    def _leave(self) -> None:
        self.in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        while self.in_flight < self.limit and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)
