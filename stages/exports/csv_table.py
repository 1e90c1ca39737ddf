"""``csv``: explanations.csv, one line for every coder, latent and explainer (RFC 4180, UTF-8)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from stages.cells import cell
from stages.exports.flat import OF_SCORE, records
from stages.params import Params

NAME = "explanations.csv"


def write(p: Params, folder: Path) -> str:
    """Writes the table; see ``exports.Export``. A score's columns are called after its scorer; a null is empty.

    A text that a spreadsheet would take for a formula has ``'`` in front; numbers are as they are.
    """
    fixed = ["coder", "hookpoint", "latent", "density", "max", "explainer", "explanation", "reason"]
    scored = [(scorer, name) for scorer in p.scorers for name in OF_SCORE]
    n = 0
    with (folder / NAME).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([*fixed, *(scorer if name == "score" else f"{scorer}_{name}" for scorer, name in scored)])
        for record in records(p):
            scores = record["scores"]
            table.writerow(
                [
                    *map(_cell, (record[name] for name in fixed)),
                    *((scores.get(scorer) or {}).get(name) for scorer, name in scored),
                ]
            )
            n += 1
    return f"{n} explanations in {NAME}"


def _cell(value: Any) -> Any:
    return cell(value) if isinstance(value, str) else value
