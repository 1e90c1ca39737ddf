"""benchmarks/askers.py in its small form, and what it takes for a fault."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks import askers
from tests.clones import ROOT


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_processes_pay_for_nothing_twice_though_one_is_killed() -> None:
    command = [sys.executable, "-m", "benchmarks.askers", "--small"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    head, _, *rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()]
    assert head == list(askers.COLUMNS)
    assert [row[:2] for row in rows] == [["2", "0"], ["2", "1"]]
    quiet, killed = (dict(zip(head, (int(value) for value in row), strict=True)) for row in rows)
    assert quiet["calls"] == quiet["questions"] > 200  # some are asked anew because they can't be read
    assert quiet["under way at a kill"] == 0
    assert killed["under way at a kill"] > 0, "no process was killed while it asked"


@pytest.mark.parametrize(
    ("came", "is_sound"),
    [
        ([2, 0, 200, 200, 0, 0, 3, 1], True),
        ([2, 3, 200, 210, 0, 10, 3, 1], True),
        ([2, 3, 200, 211, 0, 10, 3, 1], False),
        ([2, 0, 200, 201, 1, 0, 3, 1], False),
        ([2, 0, 200, 200, 0, 0, 3, 2], False),
        ([2, 0, 200, 199, 0, 0, 3, 1], False),
    ],
)
def test_what_a_race_must_come_to(came: list[int], is_sound: bool) -> None:
    assert askers.is_sound(came) == is_sound
