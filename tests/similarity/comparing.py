"""The stage ``compare``, run in the current folder, and what it has written."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from click.testing import CliRunner

from stages import paths
from stages.cli import main
from stages.similarity import table


def run() -> str:
    result = CliRunner().invoke(main, ["compare"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def read() -> tuple[pa.Table, dict[str, Any]]:
    return table.read(paths.SIMILARITY)


def only() -> dict[str, Any]:
    (found,) = read()[1]["pairs"]
    return found
