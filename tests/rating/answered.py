"""A furnished folder whose coders have hashes, and rows of answers about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stages import paths
from stages.examples.table import Examples, LatentExamples
from stages.explainers import seen
from stages.outputs import dumps
from tests.results.furnished import furnish

HASHES = {"one": "1" * 64, "two": "2" * 64}
WINDOWS = 20


def furnish_rated(folder: Path) -> None:
    """Furnishes the current folder; the examples' meta.json then says which coder they are of, as the stage has it."""
    furnish(folder)
    for coder, sha256 in HASHES.items():
        path = paths.examples(coder) / "meta.json"
        meta = json.loads(path.read_text())
        path.write_text(dumps({**meta, "coder": {"format": "sparsify", "sha256": sha256}}))


def latent(number: int, coder: str = "one") -> LatentExamples:
    return next(Examples.open(paths.examples(coder)).of([number]))


def row(number: int, explanation: str, **changed: Any) -> dict[str, Any]:
    """What ``glossa rate`` would append."""
    coder = changed.get("coder", "one")
    windows = changed.get("windows", WINDOWS)
    return {
        "schema": "glossa/written",
        "version": 1,
        "coder": coder,
        "coder_sha256": HASHES.get(coder, "3" * 64),
        "latent": number,
        "windows": windows,
        "windows_sha256": seen.sha256(latent(number), windows) if number in (2, 7) else "0" * 64,
        "explanation": explanation,
        "by": None,
    } | changed


def rating(number: int, explanation: str, value: Any, **changed: Any) -> dict[str, Any]:
    return {**row(number, explanation, **changed), "schema": "glossa/rated", "rating": value}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path
