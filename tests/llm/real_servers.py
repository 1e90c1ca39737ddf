"""Starting servers that others wrote, on the loopback, and running stages against them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from stages import params
from stages.cli import main

PATIENCE = 300.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: Sequence[str], port: int, log: Path) -> Iterator[str]:
    """Runs a server until the block ends; gives its ``base_url`` when ``/health`` answers."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not _healthy(port):
                assert process.poll() is None, log.read_text(errors="replace")
                assert time.monotonic() < deadline, log.read_text(errors="replace")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def furnish(finished: Path, folder: Path, url: str, model: dict[str, Any], judge: dict[str, Any]) -> None:
    """Copies a workplace into the current folder, with a language model that explains and one that judges."""
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    Path("runtime.yaml").write_text(json.dumps({"endpoints": {"lab": {"base_url": url, "concurrency": 2}}}))
    explainer = {"kind": "default", "model": model}
    scorer = {"kind": "detection", "model": judge, "examples_per_prompt": 5, "latents": 2}
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(
        f"{params}  written: {json.dumps(explainer)}\nscorers:\n  detection: {json.dumps(scorer)}\n"
    )


def glossa(*arguments: str) -> str:
    """The output of a command that has to succeed."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def finish() -> None:
    """Runs every stage behind the samples, in the order of the pipeline."""
    p = params.load()
    stages = [("explain", *names) for names in product(p.coders, p.explainers)]
    stages += [("score", *names) for names in product(p.coders, p.explainers, p.scorers)]
    for stage in [*stages, ("compare",), ("report",)]:
        glossa(*stage)


def contents(*folders: Path) -> dict[str, bytes]:
    """The files in these folders."""
    return {f"{folder}/{file.name}": file.read_bytes() for folder in folders for file in sorted(folder.iterdir())}
