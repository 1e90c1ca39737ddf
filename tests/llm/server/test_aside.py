from __future__ import annotations

import asyncio
import threading

import pytest

from stages.llm.forms import answers
from stages.llm.server import calls, faults
from stages.llm.server.aside import LARGE, aside
from tests.llm.asking import ask
from tests.llm.conftest import Serve
from tests.llm.scripted_server import Action, Asked, completion


def test_only_what_is_large_is_done_in_a_thread() -> None:
    async def both() -> list[int]:
        return [await aside(size, threading.get_ident) for size in (LARGE, LARGE + 1)]

    small, large = asyncio.run(both())
    assert small == threading.get_ident() != large


@pytest.mark.usefixtures("unprobed")
def test_a_large_answer_is_read_in_a_thread_when_it_comes_and_when_it_is_known(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(asked: Asked) -> Action:
        return completion(asked, content="x" * LARGE + '{"a": true, "b": false}')

    readers = []

    def noting(read):  # type: ignore[no-untyped-def]
        def noted(*args):  # type: ignore[no-untyped-def]
            readers.append(threading.get_ident())
            return read(*args)

        return noted

    monkeypatch.setattr(calls.faults, "read", noting(faults.read))
    monkeypatch.setattr(answers, "read", noting(answers.read))
    serve(script)
    first = ask(1)
    assert ask(1) == first
    assert first[0].content == '{"a": true, "b": false}'
    assert len(readers) == 4  # faults.kept reads as well
    assert threading.get_ident() not in readers
