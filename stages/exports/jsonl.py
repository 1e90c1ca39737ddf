"""``jsonl``: explanations.jsonl, one JSON object for every coder, latent and explainer."""

from __future__ import annotations

import json
from pathlib import Path

from stages.exports.flat import records
from stages.params import Params

NAME = "explanations.jsonl"


def write(p: Params, folder: Path) -> str:
    """Writes the objects of ``flat.records``; see ``exports.Export``."""
    n = 0
    with (folder / NAME).open("w", encoding="utf-8") as file:
        for record in records(p):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            n += 1
    return f"{n} explanations in {NAME}"
