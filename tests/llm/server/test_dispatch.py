from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator

import pytest

from stages.llm.server.dispatch import in_order


class Work:
    """Takes a random time for an item and keeps count."""

    def __init__(self, fail_at: int | None = None, slow: int | None = None):
        self.now = self.most = self.done = 0
        self.stopped = False
        self.fail_at, self.slow = fail_at, slow
        self.jitter = random.Random(0)

    async def __call__(self, item: int) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.2 if item == self.slow else self.jitter.uniform(0, 0.002))
        self.now -= 1
        if item == self.fail_at:
            raise ValueError(f"item {item}")
        self.done += 1
        return item * item

    def stop(self) -> None:
        self.stopped = True


def run(work: Work, n: int, workers: int = 8, window: int = 32, drawn: list[int] | None = None) -> Iterator[int]:
    def items() -> Iterator[int]:
        for item in range(n):
            if drawn is not None:
                drawn.append(item)
            yield item

    with asyncio.Runner() as runner:
        yield from in_order(runner, items(), work, workers, window, work.stop)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 500])
def test_results_come_in_order_whatever_the_order_of_completion(n: int) -> None:
    work = Work()
    assert list(run(work, n)) == [i * i for i in range(n)]
    assert work.most <= 8


def test_no_more_is_drawn_than_the_window_allows() -> None:
    drawn: list[int] = []
    work = Work(slow=0)
    results = run(work, 1000, window=32, drawn=drawn)
    assert next(results) == 0
    assert len(drawn) <= 32 + 8  # all others were done long before the first; now each worker has drawn another
    for given in range(1, 1000):
        assert next(results) == given * given
        assert len(drawn) <= given + 1 + 32 + 32  # those given at once, and their successors
    assert list(results) == []


def test_an_error_lets_the_others_finish_and_is_raised() -> None:
    work = Work(fail_at=20)
    given: list[int] = []
    with pytest.raises(ValueError, match="item 20"):
        given.extend(run(work, 1000))
    assert given == [i * i for i in range(len(given))]
    assert work.stopped
    assert work.now == 0
    assert work.done <= 20 + 8


def test_an_error_of_the_items_is_raised() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    work = Work()
    with pytest.raises(ValueError, match="no more"), asyncio.Runner() as runner:
        list(in_order(runner, items(), work, 3, 10, work.stop))


@pytest.fixture
def in_foreground() -> Iterator[None]:
    """Where the tests run in the background, Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("in_foreground")
def test_ctrl_c_waits_for_what_is_under_way_and_is_raised() -> None:
    work = Work()
    before = signal.getsignal(signal.SIGINT)

    def ask() -> Iterator[int]:
        for result in run(work, 1000):
            if result == 25:
                os.kill(os.getpid(), signal.SIGINT)
            yield result

    given: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        given.extend(ask())
    assert 6 <= len(given) < 100
    assert work.stopped
    assert work.now == 0
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_waits_for_what_is_under_way_and_ends_as_the_signal_says(number: signal.Signals) -> None:
    work = Work()
    before = signal.signal(number, signal.SIG_DFL)
    try:
        given: list[int] = []

        def ask() -> None:
            for result in run(work, 1000):
                if result == 25:
                    os.kill(os.getpid(), number)
                given.append(result)

        with pytest.raises(SystemExit) as ended:
            ask()
        assert ended.value.code == 128 + number
        assert len(given) < 100
        assert work.stopped
        assert work.now == 0
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        for result in run(Work(), 50):
            if result == 25:
                os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_caller_that_fails_lets_what_is_under_way_finish() -> None:
    work = Work(slow=30)
    started: list[int] = []

    def ask() -> None:
        for result in run(work, 1000, drawn=started):
            if result == 25:
                raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        ask()
    assert work.stopped
    assert work.now == 0
    assert work.done == len(started), "what was under way was dropped"


def test_a_caller_who_loses_interest_leaves_nothing_behind() -> None:
    work = Work()
    results = run(work, 1000)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert work.done < 100
