"""Requests in, answers out, in order: what lies between a model's options and the calls to its server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from tqdm import tqdm

from stages.errors import GlossaError
from stages.llm.journal import elsewhere, transcript
from stages.llm.journal.store import Journal
from stages.llm.reply import REFUSED, Reply, glimpse
from stages.llm.request import Answer, Request
from stages.llm.server import probe, turns
from stages.llm.server.aside import aside
from stages.llm.server.calls import Caller
from stages.llm.server.dispatch import in_order
from stages.llm.server.exchange import Asked, exchange, proceed
from stages.llm.server.meter import Meter
from stages.machine.progress import bar

if TYPE_CHECKING:
    from stages.llm.server.options import Server

WINDOW = 1024
"""Answers that may wait for an earlier one, at least."""

MOST_UNREAD = 20
"""Questions to which nothing could be read, from the first one on, until a stage ends: all others would be paid for in vain too."""

SHOWN_EVERY = 2.0
"""Seconds between two looks at the counts."""


def answer(options: Server, requests: Iterable[Request]) -> Iterator[Answer]:
    """Yields one answer for every request, in their order; every call that was used goes into the transcript."""
    endpoint = options.at()
    meter = Meter()
    recorder = transcript.current()
    workers = endpoint.concurrency
    with Journal.at_home() as journal, asyncio.Runner() as runner:
        session = _Session(options, _caller(options, journal, meter), meter)
        runner.run(session.open())
        try:
            window = max(WINDOW, 8 * workers)
            for answer, keys, _ in in_order(runner, requests, session.ask, workers, window, session.caller.stop):
                if recorder is not None:
                    for key in keys:
                        recorder.record(journal[key])
                session.progress.update()
                yield answer
        finally:
            runner.run(session.close())


class _Session:
    def __init__(self, options: Server, caller: Caller, meter: Meter):
        self.options, self.caller, self.meter = options, caller, meter
        self.progress: tqdm = bar(f"{options.model} at {options.endpoint}", unit="answer")
        self._probing, self._settling = asyncio.Lock(), asyncio.Lock()
        self._found: probe.Found | None = None
        self._settled: Server | None = None
        self._read = self._unread = 0

    async def open(self) -> None:
        self._showing = asyncio.create_task(self._show())

    async def close(self) -> None:
        self._showing.cancel()
        with suppress(asyncio.CancelledError):
            await self._showing
        await self.caller.close()
        self.progress.close()

    async def ask(self, request: Request) -> Asked:
        """Asks until an answer can be read, but no more often than the options say."""
        asking = exchange(await self._options_for(request), request)
        question = next(asking)
        while True:
            answered = await self.caller.get(question.body, question.number, question.max_tokens, self._ready)
            further = await aside(len(answered[0].response), proceed, asking, answered)
            if isinstance(further, Asked):
                self.meter.unread += further.unread
                self._count(further.answer, answered[1])
                return further
            question = further

    def _count(self, answer: Answer, last: Reply) -> None:
        """Ends the stage if no answer at all can be read. That the server refuses, or fails, is for others to count."""
        if answer.content is not None:
            self._read += 1
        elif not (last.refused or last.finish == REFUSED or last.failed or last.garbled):
            self._unread += 1
        if not self._read and self._unread >= MOST_UNREAD:
            raise GlossaError(
                f"the model {self.options.model} at the endpoint {self.options.endpoint} should answer in the form that is asked for, but "
                f"of its first {self._unread} answers none can be read ({answer.reason}; the last is {glimpse(last)}); change structured, "
                "max_tokens or extra of the model in params.yaml, or use another model (what was answered is kept)"
            )

    async def _options_for(self, request: Request) -> Server:
        """The options by which a request is asked: in the shape of the first that was known, else in the one that the server takes."""
        if not turns.is_open(self.options, request):
            return self.options
        async with self._settling:
            if self._settled is None:
                known = turns.as_asked(self.options, request, self.caller.journal)
                self._settled = known or self.options.settled((await self._probe()).shape)
        return self._settled

    async def _ready(self) -> None:
        """Makes sure, once, that the server does what the options count on."""
        found = await self._probe()
        if self._settled is not None and self._settled.system == "turn" and found.system is False:
            raise GlossaError(
                f"the model {self.options.model} at the endpoint {self.options.endpoint} should take a turn of the system, as it did when it "
                "answered before, but its server refuses that now; set system: user of the model in params.yaml to ask everything anew, "
                "or use the server that took it"
            )

    async def _probe(self) -> probe.Found:
        """What the server does, found out once, after saying what need not be asked."""
        async with self._probing:
            if self._found is None:
                if told := elsewhere.hint(self.caller.journal):
                    tqdm.write(told, sys.stderr)
                self._found = await probe.check(self.options, self.caller)
        return self._found

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(SHOWN_EVERY)
            self.progress.set_postfix_str(str(self.meter))


def find_out(options: Server) -> probe.Found:
    """Returns what the server of a model does, found out anew."""
    with Journal.at_home() as journal, asyncio.Runner() as runner:
        caller = _caller(options, journal, Meter())
        try:
            return runner.run(probe.find_out(options, caller, anew=True))
        finally:
            runner.run(caller.close())


def _caller(options: Server, journal: Journal, meter: Meter) -> Caller:
    return Caller(options.endpoint, options.at(), options.model, journal, meter, probe.story(options))
