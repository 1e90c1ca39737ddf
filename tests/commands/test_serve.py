from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from stages import paths
from stages.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    paths.REPORT.mkdir(parents=True)
    (paths.REPORT / "index.html").write_text("<!doctype html><title>The report</title>")
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_missing_report_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["serve", "--no-live"])
    assert (result.exit_code, result.output) == (
        1,
        "Error: expected the report in results/report, but there is no index.html; run dvc repro, or dvc pull results/report\n",
    )


def test_a_taken_port_is_one_sentence(report: Path, taken: int) -> None:
    result = CliRunner().invoke(main, ["serve", "--no-live", "--port", str(taken)])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: the port {taken} of this machine should be free, but: Address already in use; choose another with --port\n",
    )


def test_the_live_test_needs_params(report: Path) -> None:
    result = CliRunner().invoke(main, ["serve", "--port", "0"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: expected params.yaml in ")


def test_it_says_where_it_is_serves_and_ends_quietly(report: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from stages.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--no-live", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    address = process.stdout.readline().removeprefix("report: ").strip()
    assert address.startswith("http://127.0.0.1:")
    assert process.stdout.readline() == "Ctrl-C ends it\n"
    with urllib.request.urlopen(address, timeout=60) as response:
        assert b"The report" in response.read()
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_nothing_heavy_is_imported_before_a_text_is_tested() -> None:
    check = (
        "import stages.serve.server, sys; print(*sorted({'torch', 'transformers', 'vl_convert'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "\n"
