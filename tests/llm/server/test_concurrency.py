from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from stages.llm.server.concurrency import START, Gate


async def full(gate: Gate, note: Callable[[], None], n: int) -> None:
    """``n`` calls while the gate is full; ``note`` is called for each."""
    for _ in range(n):
        gate.in_flight = gate.limit
        note()
    gate.in_flight = 0


def running(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_it_doubles_with_every_clean_round_up_to_the_most() -> None:
    async def test() -> None:
        gate = Gate(100)
        limits = []
        for _ in range(6):
            limits.append(gate.limit)
            await full(gate, gate.answered, gate.limit)
        assert limits == [8, 16, 32, 64, 100, 100]
        assert Gate(3).limit == 3

    running(test)


def test_it_grows_only_when_it_is_used() -> None:
    async def test() -> None:
        gate = Gate(100)
        gate.in_flight = 6  # of 8
        for _ in range(100):
            gate.answered()
        assert gate.limit == START
        gate.in_flight = 7
        for _ in range(8):
            gate.answered()
        assert gate.limit == 2 * START

    running(test)


@pytest.mark.parametrize(
    ("turned_away", "limit"),
    [(0, 200), (1, 100), (10, 100), (11, 94), (20, 90), (50, 75), (100, 50)],
)
def test_a_round_with_many_429s_cuts_by_half_of_their_share(turned_away: int, limit: int) -> None:
    async def test() -> None:
        gate = Gate(1000)
        gate.limit = 100
        await full(gate, gate.busy, turned_away)
        await full(gate, gate.answered, 100 - turned_away)
        assert gate.limit == limit

    running(test)


def test_after_a_429_it_creeps() -> None:
    async def test() -> None:
        gate = Gate(1000)
        gate.limit = 100
        await full(gate, gate.busy, 1)
        await full(gate, gate.answered, 99)
        limits = []
        for _ in range(4):
            await full(gate, gate.answered, gate.limit)
            limits.append(gate.limit)
        assert limits == [105, 110, 115, 120]

    running(test)


def test_a_wall_of_429s_brings_it_down_to_one_and_it_comes_back() -> None:
    async def test() -> None:
        gate = Gate(64)
        gate.limit = 64
        limits = []
        for _ in range(8):
            await full(gate, gate.busy, gate.limit)
            limits.append(gate.limit)
        assert limits == [32, 16, 8, 4, 2, 1, 1, 1]
        for _ in range(3):
            await full(gate, gate.answered, gate.limit)
        assert gate.limit == 4

    running(test)


def test_a_few_stray_429s_cost_nothing_in_the_long_run() -> None:
    async def test() -> None:
        gate, chance = Gate(64), random.Random(0)
        lowest = 64
        for number in range(50_000):
            await full(gate, gate.busy if chance.random() < 0.03 else gate.answered, 1)
            lowest = min(lowest, gate.limit) if number > 5_000 else 64
        assert lowest >= 40

    running(test)


def test_another_fault_spoils_the_round_and_cuts_nothing() -> None:
    async def test() -> None:
        gate = Gate(100)
        await full(gate, gate.troubled, 1)
        await full(gate, gate.answered, 7)
        assert gate.limit == START
        await full(gate, gate.answered, 8)
        assert gate.limit == 2 * START

    running(test)


@pytest.mark.parametrize("most", [1, 3, 8])
def test_no_more_than_the_limit_are_inside_and_all_get_in(most: int) -> None:
    async def test() -> None:
        gate, inside, seen = Gate(most), 0, []

        async def one(place: int) -> None:
            nonlocal inside
            async with gate.slot():
                inside += 1
                seen.append(inside)
                await asyncio.sleep(0.001 if place % 3 else 0)
                inside -= 1

        await asyncio.gather(*(one(place) for place in range(60)))
        assert max(seen) == most
        assert len(seen) == 60
        assert gate.in_flight == 0

    running(test)


def test_who_gives_up_waiting_takes_no_place() -> None:
    async def test() -> None:
        gate = Gate(1)
        async with gate.slot():
            waiting = [asyncio.create_task(wait(gate)) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.sleep(0)
        waiting[1].cancel()  # in the moment in which it is let in
        await asyncio.gather(*waiting, return_exceptions=True)
        assert waiting[2].done()
        assert not waiting[2].cancelled()
        assert gate.in_flight == 0

    async def wait(gate: Gate) -> None:
        async with gate.slot():
            pass

    running(test)
