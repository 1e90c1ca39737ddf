from __future__ import annotations

import re
import time
from collections.abc import Callable
from weakref import WeakSet

import pytest
import torch

from stages.machine import progress
from stages.machine.memory import Headroom
from stages.machine.progress import Bar, bar


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHOW_AFTER_SECONDS", 0.05)
    monkeypatch.setattr(Bar, "_instances", WeakSet())  # one that another test left open would take the first line


def until(found: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not found():
        assert time.monotonic() < begun + 30
        time.sleep(0.01)


def test_a_bar_is_there_before_its_first_step_has_ended_and_gone_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    said = ""

    def shown(what: str) -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return re.search(what, said) is not None

    with bar("judge", total=3, unit="window"):
        until(lambda: shown(r"judge: +0%.*0/3 \[00:00<"))
    assert shown(r"\r +\r$")
    time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_what_is_over_at_once_shows_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SHOW_AFTER_SECONDS", 30)
    for _ in bar("read", iterable=range(3)):
        pass
    assert capsys.readouterr().err == ""


def test_batches_are_shown_by_their_tokens_if_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    room = Headroom(torch.device("cpu"), 10, "it", "use less")
    half, said = r"read: +50%.* 10\.0/20\.0 ", ""

    def work(places: list[int]) -> None:
        nonlocal said
        begun = time.monotonic()
        while places == [2, 3] and not re.search(half, said) and time.monotonic() < begun + 30:
            said += capsys.readouterr().err
            time.sleep(0.01)

    room.in_batches([0, 1, 2, 3], lambda _: 5, work, "read")
    assert re.search(half, said)
    capsys.readouterr()
    room.in_batches([0, 1], lambda _: 5, lambda _: time.sleep(0.2), "read")
    assert capsys.readouterr().err == ""
