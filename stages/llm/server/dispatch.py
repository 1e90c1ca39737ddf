"""Many items through a few workers, and the results in the order of the items."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

TOGETHER, PAUSE = 64, 0.02
"""Results that are handed over at once, and the seconds that are waited for more of them: leaving the loop has a price."""

GRACE_SECONDS, LAST_SECONDS = 10.0, 25.0
"""How long Ctrl-C waits for what is under way, which may have been paid for, and how long a signal of the system does: Slurm and
Kubernetes kill after 30 s."""

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""That ask a process to end: of a scheduler, and of a terminal that is closed."""


def in_order(
    runner: asyncio.Runner,
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Result]],
    workers: int,
    window: int,
    stop: Callable[[], None],
) -> Iterator[Result]:
    """Yields ``work(item)`` for every item, in their order, with ``workers`` at work on the next ones at any time.

    Items are drawn as they are needed, at most ``window`` ahead of the result that is yielded, so that neither many items
    nor a slow one take more memory. It all happens in this thread, while the caller waits for a result: ``items`` may be
    a generator that shares state with the caller. The first error, Ctrl-C or SIGTERM ends it: ``stop`` is called so that the other
    workers can finish early, and it is raised when they have. So they can when the caller is done with it before the last item,
    as it is when it fails itself.
    """
    pool = _Pool(items, work, window, stop)
    tasks: list[asyncio.Task[None]] = []

    async def start() -> None:
        tasks.extend(asyncio.create_task(pool.worker()) for _ in range(workers))

    async def end() -> None:
        if not pool.has_failed:
            pool.fail(StopAsyncIteration())
            await asyncio.wait(tasks, timeout=GRACE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with _interrupts(runner, pool.fail):
        runner.run(start())
        try:
            while ready := runner.run(pool.next(tasks)):
                yield from ready
        finally:
            runner.run(end())


class _Pool(Generic[Item, Result]):
    def __init__(
        self,
        items: Iterable[Item],
        work: Callable[[Item], Awaitable[Result]],
        window: int,
        stop: Callable[[], None],
    ):
        self._items, self._work, self._window, self._stop = iter(items), work, window, stop
        self._done: dict[int, Result] = {}
        self._drawn = self._given = 0
        self._exhausted = False
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def has_failed(self) -> bool:
        """Whether something has ended all work."""
        return self._error is not None

    def fail(self, error: BaseException) -> None:
        """Ends all work because of ``error``, unless another has done so before."""
        if self._error is None:
            self._error = error
            self._stop()
        self._room.set()
        self._changed.set()

    async def worker(self) -> None:
        try:
            while not self._exhausted and self._error is None:
                if self._drawn - self._given >= self._window:
                    self._room.clear()
                    await self._room.wait()
                    continue
                try:
                    item = next(self._items)
                except StopIteration:
                    self._exhausted = True
                    self._room.set()
                    self._changed.set()
                    return
                place = self._drawn
                self._drawn += 1
                self._done[place] = await self._work(item)
                if place == self._given:
                    self._changed.set()
        except Exception as error:  # noqa: BLE001 raised again by next
            self.fail(error)

    async def next(self, tasks: list[asyncio.Task[None]]) -> list[Result]:
        """Returns the results that are next in order, as many as there are; none when all were given."""
        while self._given not in self._done and self._error is None and not (self._exhausted and self._all_given()):
            self._changed.clear()
            await self._changed.wait()
        if not self._exhausted and self._error is None and self._given + TOGETHER not in self._done:
            await asyncio.sleep(PAUSE)
        if self._error is not None:
            await asyncio.wait(tasks, timeout=_patience(self._error))
            raise self._error
        ready = []
        while self._given in self._done:
            ready.append(self._done.pop(self._given))
            self._given += 1
        self._room.set()
        return ready

    def _all_given(self) -> bool:
        return self._given == self._drawn


def _patience(error: BaseException) -> float | None:
    """Seconds that are waited for what is under way."""
    if isinstance(error, KeyboardInterrupt):
        return GRACE_SECONDS
    return LAST_SECONDS if isinstance(error, SystemExit) else None


@contextmanager
def _interrupts(runner: asyncio.Runner, fail: Callable[[BaseException], None]) -> Iterator[None]:
    """Lets Ctrl-C, or a signal that asks to end, end the work between two steps of the event loop; a second one does at once.

    Raised in the middle of a step it can leave behind a loop that can't be tidied up. Signals that are ignored, as by ``nohup``,
    or that somebody else sees to, stay as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = runner.get_loop()
    ours: dict[int, Any] = {}

    def end(number: int, *_: Any) -> None:
        signal.signal(number, ours.pop(number))
        error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
        loop.call_soon_threadsafe(fail, error)

    for number in (signal.SIGINT, *SIGNALS):
        before = signal.getsignal(number)
        if before is (signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL):
            ours[number] = before
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, before in list(ours.items()):
            if signal.getsignal(number) is end:
                signal.signal(number, before)
