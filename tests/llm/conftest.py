from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stages.llm.server import probe
from tests.llm.asking import runtime_yaml
from tests.llm.scripted_server import Script, Server, good

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a scripted server and names it in the runtime.yaml of the current, temporary folder."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:

        def start(script: Script = good, tls: ssl.SSLContext | None = None, **options: Any) -> Server:
            server = stack.enter_context(Server(script, tls))
            runtime_yaml(server.url, **options)
            return server

        yield start


@pytest.fixture
def unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trusts every server, so that a test counts its own calls only."""

    async def trust(*_: object) -> probe.Found:
        return probe.Found(True, 5, True, True, None, True, system=True, came="", unread=None)

    monkeypatch.setattr(probe, "check", trust)
