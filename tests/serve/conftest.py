"""A working folder that has run and has a report, served on a free port of this machine."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from aiohttp import web

from stages import params, paths
from stages.explainers import table as explanations
from stages.explainers.table import Explanation
from stages.serve import server

HOSTILE = '</script><img src=x onerror="window.pwned=1"><script>window.pwned=1</script> "&\' \u202eover'
"""An explanation that tries to act on the page."""


@pytest.fixture(scope="module")
def here(finished_workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder: what has run, explanations of some latents of ``one``, and a report of two files."""
    folder = tmp_path_factory.mktemp("served") / "work"
    shutil.copytree(finished_workplace, folder)
    with chdir(folder):
        said = [Explanation(latent, HOSTILE if latent % 2 else f"about {latent}", None, {}) for latent in range(24)]
        explanations.write(paths.explanations("one", "pattern"), said, {})
        paths.REPORT.mkdir(parents=True)
        (paths.REPORT / "index.html").write_text("<!doctype html><title>The report</title>")
        (paths.REPORT / "latent.html").write_text(
            "<!doctype html><link rel='icon' href='data:,'><title>A latent</title>"
        )
        (paths.REPORT / "data").mkdir()
        (paths.REPORT / "data" / "manifest.js").write_text('glossa("manifest","{}");')
        yield folder


class Served:
    """A server in a thread of its own."""

    def __init__(self, live: bool = True) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(live,))
        self._ready = threading.Event()
        self._thread.start()
        assert self._ready.wait(30)

    def _run(self, live: bool) -> None:
        asyncio.set_event_loop(self._loop)
        tests = server.Live(params.load()) if live else None
        runner = web.AppRunner(
            server.application(tests), access_log=None, shutdown_timeout=1, handler_cancellation=True
        )
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.SockSite(runner, self._socket).start())
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


@pytest.fixture(scope="module")
def served(here: Path) -> Iterator[Served]:
    """The report and the live test."""
    found = Served()
    yield found
    found.close()


@pytest.fixture(scope="module")
def served_without_tests(here: Path) -> Iterator[Served]:
    """The report alone."""
    found = Served(live=False)
    yield found
    found.close()
