from __future__ import annotations

import os
import subprocess
import sys

import pytest

WATCH = """
import os, sys
from importlib.abc import MetaPathFinder

class Watch(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("numpy", "torch"):
            print(name, os.environ.get("OMP_WAIT_POLICY"), os.environ.get("OPENBLAS_THREAD_TIMEOUT"))

sys.meta_path.insert(0, Watch())
from stages.cli import main
main(sys.argv[1:], standalone_mode=False)
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {
        key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "OPENBLAS_THREAD_TIMEOUT")
    }
    command = [sys.executable, "-c", WATCH, *arguments]
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)


def test_libraries_are_told_before_they_are_loaded() -> None:
    lines = run("compare", "--help").stdout.splitlines()
    assert {line for line in lines if line.startswith(("numpy ", "torch "))} == {"numpy PASSIVE 4", "torch PASSIVE 4"}


def test_what_the_environment_says_holds() -> None:
    assert "torch ACTIVE 4" in run("compare", "--help", OMP_WAIT_POLICY="ACTIVE").stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another OpenMP, which says it otherwise")
def test_openmp_has_heard_it() -> None:
    said = run("compare", "--help", OMP_DISPLAY_ENV="VERBOSE").stderr
    assert "GOMP_SPINCOUNT = '0'" in said
