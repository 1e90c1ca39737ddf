"""benchmarks/flow.py in a small form; and that scoring takes no more memory for ten times as many latents."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import flow_made
from tests.clones import ROOT

LIGHT = flow_made.Size(tokens=262_144, vocabulary=5_000, window=16, train=2, test=4, negative=4)
FEW, MANY = 2_000, 20_000


def peak_mb(folder: Path, *words: str) -> float:
    """The most memory, in MB, of a process that does what ``words`` say."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    environment = os.environ | {"PYTHONPATH": path, "TQDM_DISABLE": "1", "GLOSSA_WORKERS": "1"}
    command = [sys.executable, str(ROOT / "benchmarks/flow_made.py"), *words]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folders = {}
    for latents in (FEW, MANY):
        folders[latents] = tmp_path_factory.mktemp(f"made-{latents}")
        before = Path.cwd()
        try:
            os.chdir(folders[latents])
            flow_made.project(latents, LIGHT)
        finally:
            os.chdir(before)
    return folders


@pytest.mark.parametrize("scorer", ["detection", "fuzzing", "simulation"])
def test_ten_times_as_many_latents_take_no_more_memory(made: dict[int, Path], scorer: str) -> None:
    few, many = (peak_mb(made[latents], "stage", scorer) for latents in (FEW, MANY))
    assert many < 600
    assert many < 1.15 * few, f"{few:.0f} MB for {FEW:,} latents, {many:.0f} MB for {MANY:,}"
