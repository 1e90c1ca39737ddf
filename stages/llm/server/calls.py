"""One call until it is answered: looked up, reserved, sent, tried again, written down."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from stages.errors import GlossaError
from stages.llm.call import Call
from stages.llm.journal import canonical
from stages.llm.journal.store import Attempt, Cost, Journal, Limits, TakenError
from stages.llm.reply import Reply
from stages.llm.server import budget, faults
from stages.llm.server.aside import aside
from stages.llm.server.client import Client
from stages.llm.server.concurrency import Gate
from stages.llm.server.exchange import Question
from stages.llm.server.faults import AttemptError, RefusedError
from stages.llm.server.meter import Meter
from stages.machine.endpoint import Endpoint

FIRST_CONTACT_SECONDS = 30.0
"""How long a server that has not answered anything yet is waited for when it can't be reached."""

MOST_FAILURES = 50
"""Questions on which the server fails, one after the other, until that is taken for a fault of the server."""


FIRST_LOOK, LONGEST_LOOK = 0.02, 0.25
"""Seconds between two looks whether another process has the answer, at first and later."""


class StoppedError(Exception):
    """Another call has failed for good; this one is not tried any further."""


class Caller:
    """Gets answers from one endpoint for one model; make it and use it in one event loop."""

    def __init__(self, name: str, endpoint: Endpoint, model: str, journal: Journal, meter: Meter, trial: Question):
        """``trial`` is a small question, asked to see whether the server works when it fails on another."""
        self.name, self.endpoint, self.model, self.journal, self.meter = name, endpoint, model, journal, meter
        self._price = endpoint.prices.get(model)
        self._limits: Limits = budget.limits(endpoint, name, model)
        self._client: Client | None = None
        self._gate = Gate(endpoint.concurrency)
        self._under_way: dict[str, asyncio.Future[tuple[Call, Reply]]] = {}
        self._attempts = 0
        self._settled = asyncio.Condition()
        self._stopping = asyncio.Event()
        self._trial, self._one_trial = trial, asyncio.Lock()
        self._answers = self._failures = 0
        self._jitter = random.Random()  # how long one waits is no result

    def stop(self) -> None:
        """Lets attempts that are under way end, and begins no other."""
        self._stopping.set()

    async def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.close()

    async def get(
        self, body: bytes, sample: int, max_tokens: int, ready: Callable[[], Awaitable[None]]
    ) -> tuple[Call, Reply]:
        """Returns the answer to ``body``, from the journal if it is there; ``ready`` is awaited before anything is sent.

        Raises:
            GlossaError: the server will not answer, or the budget does not allow to ask it.
            StoppedError: another call got that error.
        """
        key = canonical.key(self.name, body, sample)
        if (known := await self._known(key)) is not None:
            return known
        if (other := self._under_way.get(key)) is not None:
            return await asyncio.shield(other)
        future = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            answered = await self._once(key, body, sample, max_tokens, ready)
        except BaseException as error:
            future.set_exception(StoppedError() if isinstance(error, asyncio.CancelledError) else error)
            future.exception()  # it is raised here; nobody else need have waited for it
            raise
        else:
            future.set_result(answered)
            return answered
        finally:
            del self._under_way[key]

    async def _known(self, key: str) -> tuple[Call, Reply] | None:
        known = self.journal.get(key)
        if known is None:
            return None
        self.meter.known += 1
        return known, await aside(len(known.response), faults.kept, known.status, known.response)

    async def _once(
        self, key: str, body: bytes, sample: int, max_tokens: int, ready: Callable[[], Awaitable[None]]
    ) -> tuple[Call, Reply]:
        """Asks the server, or waits for the answer that another process gets from it."""
        while True:
            await ready()
            try:
                return await self.send(key, body, sample, max_tokens)
            except TakenError:
                await self.others(key)
            except BaseException:
                self.journal.release(key)
                raise
            if (known := await self._known(key)) is not None:
                return known

    def claim(self, key: str) -> None:
        """Claims what is asked under ``key``; raises TakenError if another process has."""
        self.journal.enter(self.endpoint.concurrency)
        self.journal.claim(key)

    async def others(self, key: str) -> None:
        """Waits as long as another process that is alive asks the question of ``key``.

        Raises:
            StoppedError: this one is to end.
        """
        self.meter.elsewhere += 1
        pause = FIRST_LOOK
        try:
            while self.journal.holder(key) is not None:
                await self._sleep(pause)
                pause = min(LONGEST_LOOK, 2 * pause)
        finally:
            self.meter.elsewhere -= 1

    async def send(self, key: str, body: bytes, sample: int, max_tokens: int, keep: bool = True) -> tuple[Call, Reply]:
        """Asks the server until it answers, without looking into the journal; raises as ``get`` does."""
        if self._client is None:
            self.journal.enter(self.endpoint.concurrency)
            self._client = Client(self.endpoint, self.endpoint.filled(self.name), self.endpoint.trusted(self.name))
        most = budget.most(body, max_tokens, self._price)
        tried = 0.0  # seconds, without those in which others had their turn
        n = garbled = failed = others = 0
        while True:
            n += 1
            async with self._gate.slot():
                attempt = await self._begin(key, most, keep)
                begun = time.monotonic()
                try:
                    answered = await self._attempt(attempt, key, body, sample, keep)
                except AttemptError as error:
                    fault = error
                else:
                    self._gate.answered()
                    self._failures = 0
                    return answered
            garbled = garbled + 1 if fault.kind == "garbled" else 0
            if fault.is_failure:
                failed += 1
                is_alone = self._answers > others  # others were answered since it failed last
                if is_alone and failed >= fault.most_attempts:
                    return self._keep_failure(fault, keep)
                others = self._answers
                if not is_alone and failed + 1 >= fault.most_attempts and garbled < faults.GARBLED_ATTEMPTS:
                    await self._try(others)
            tried += time.monotonic() - begun
            wait = faults.pause(fault, n, self._jitter)
            self._give_up_on(fault, garbled, tried, wait)
            await self._sleep(wait)
            tried += wait

    async def _begin(self, key: str, most: Cost, claim: bool) -> Attempt:
        """Writes down that an attempt is made, as soon as the budget allows it."""
        while not self._stopping.is_set():
            attempt = self.journal.begin(key, self.name, self.model, most, self._limits, claim)
            if attempt is not None:
                self._attempts += 1
                return attempt
            if not self._attempts:
                raise budget.exhausted(self.name, self.journal.spent(self.name), most, self._limits)
            async with self._settled:  # what is in flight may cost less than was taken for it
                await self._settled.wait()
        raise StoppedError

    async def _attempt(self, attempt: Attempt, key: str, body: bytes, sample: int, keep: bool) -> tuple[Call, Reply]:
        assert self._client is not None
        call = None
        try:
            received = await self._client.send(body)
            call = Call(key, self.name, canonical.CHAT, sample, received.status, body, received.body)
            reply = await aside(len(received.body), faults.read, received.status, received.headers, received.body)
        except AttemptError as fault:
            if call is None and fault.kind == "garbled":  # too long, or no HTTP: nothing of it is kept
                call = Call(key, self.name, canonical.CHAT, sample, 0, body, b"")
            fault.call = call
            self.journal.fail(attempt, fault.status, fault.reason, fault.billed)
            self.meter.failed += 1
            self.meter.waiting = fault.reason
            if fault.kind == "busy":
                self._gate.busy()
            else:
                self._gate.troubled()
            raise
        else:
            cost = budget.actual(reply.usage, self._price)
            self.journal.finish(attempt, call, reply.usage, cost, keep)
            self.meter.answered(reply.usage, cost)
            self._answers += 1
            return call, reply
        finally:
            self._attempts -= 1
            if self._limits != Limits():
                async with self._settled:
                    self._settled.notify_all()

    async def _try(self, answers: int) -> None:
        """Puts the trial to the server, unless it has given more than so many answers by now."""
        async with self._one_trial, self._gate.slot():
            if self._answers > answers:
                return
            body, number, max_tokens = self._trial
            key = canonical.key(self.name, body, number)
            attempt = await self._begin(key, budget.most(body, max_tokens, self._price), claim=False)
            with suppress(AttemptError):
                await self._attempt(attempt, key, body, number, keep=False)

    def _keep_failure(self, fault: AttemptError, keep: bool) -> tuple[Call, Reply]:
        """Takes a failure for the answer to its question."""
        assert fault.call is not None
        self._failures += 1
        if self._failures > MOST_FAILURES:
            raise GlossaError(
                f"asked the endpoint {self.name} at {self.endpoint.base_url} for {self.model}, but for {self._failures} questions in "
                f"a row got {fault.reason}; see the server's log, then run this again (what was answered is kept)"
            )
        if keep:
            self.journal.add([fault.call], "call")
        return fault.call, faults.kept(fault.call.status, fault.call.response)

    def _give_up_on(self, fault: AttemptError, garbled: int, tried: float, wait: float) -> None:
        asked = f"asked the endpoint {self.name} at {self.endpoint.base_url} for {self.model}"
        kept = "what was answered is kept"
        if fault.kind == "fatal":
            raise RefusedError(f"{asked}, but got {fault.reason} ({kept})", fault.reason, fault.status)
        if garbled >= faults.GARBLED_ATTEMPTS:
            raise GlossaError(
                f"{asked}, but {garbled} times got {fault.reason}; check base_url in runtime.yaml and the "
                f"server's log, then run this again ({kept})"
            )
        patience = self.endpoint.patience
        if fault.kind == "down" and fault.status is None and not self._answers:
            patience = min(patience, FIRST_CONTACT_SECONDS)
        if tried + wait > patience:
            asks = f" and wants to be left alone for {fault.wait:,.0f} s" if fault.wait is not None else ""
            raise GlossaError(
                f"{asked} for {tried:,.0f} s, but got {fault.reason}{asks}; see that it runs, or raise "
                f"endpoints.{self.name}.patience in runtime.yaml, then run this again ({kept})"
            )

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        raise StoppedError
