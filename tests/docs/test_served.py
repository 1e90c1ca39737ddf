"""``glossa serve`` and what programs may ask it, as docs/look.md prints both."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.docs.steps import SERVED
from tests.repositories import Repository

*SERVES, CURL = (step.command for step in SERVED["docs/look.md"])
PORT = 8642


@contextmanager
def started(repository: Repository, command: str) -> Iterator[str]:
    """Types a command that runs until it is interrupted; yields the address that it says."""
    words = [sys.executable, "-m", "stages", *shlex.split(command)[1:]]
    environment = repository._environment() | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(words, cwd=repository.folder, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        said = [line for line in iter(process.stdout.readline, "Ctrl-C ends it\n") if line]
        yield said[0].split()[1]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        process.stdout.close()


def is_free() -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", PORT)) != 0


@pytest.mark.skipif(not is_free(), reason="something else listens on the port that docs name")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_text_is_tested_from_another_terminal(demo: Repository) -> None:
    with started(demo, SERVES[0]) as address:
        assert address == f"http://127.0.0.1:{PORT}/"
        done = subprocess.run(
            ["bash", "-c", f"{CURL} --silent --show-error"], capture_output=True, text=True, check=False
        )
    found = json.loads(done.stdout)
    assert "".join(found["tokens"]).strip() == "They looked for work."
    assert any(latent["latent"] == 730 and latent["values"] for latent in found["latents"])


@pytest.mark.parametrize("command", SERVES[1:])
def test_the_report_is_served(demo: Repository, command: str) -> None:
    if "--port" not in command and not is_free():
        pytest.skip("something else listens on the port that docs name")
    with started(demo, command) as address, urllib.request.urlopen(f"{address}index.html") as page:
        assert b"SmolLM2" in page.read()
