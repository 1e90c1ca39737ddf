"""DVC's lock files: dvc.lock, and one of each sparse coder. DVC never takes out the entry of a stage that is no more."""

from __future__ import annotations

import re
from pathlib import Path

from stages import params, paths
from stages.outputs import write_text
from stages.wiring import coder, matrix

LOCK = Path("dvc.lock")
STAGE = re.compile(r"^  (?=[^\s#-])", re.MULTILINE)
"""Where the entry of a stage begins: DVC indents by two spaces."""
EARLIER = re.compile(r"(cache|sample|explain-\w+|score-\w+)@")
"""Stages of sparse coders, as dvc.lock named them when it held those of all coders."""


def drop_unknown(p: params.Params) -> tuple[int, bool]:
    """Takes entries of stages that are no more out of all lock files.

    Returns how many there were, and whether some are of the layout in which dvc.yaml held the stages of all coders.
    """
    known = {LOCK: matrix.filled(params.read_yaml(paths.PIPELINE)["stages"])}
    known |= {path.with_suffix(".lock"): matrix.filled(stages) for path, stages in coder.stages(p).items()}
    dropped, was_earlier = 0, False
    for lock, names in known.items():
        text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
        head, mark, rest = text.partition("\nstages:\n")
        parts = [part for part in STAGE.split(rest) if part.strip()]
        kept = [part for part in parts if matrix.find(names, _name(part)) is not None]
        was_earlier |= lock == LOCK and any(EARLIER.match(_name(part)) for part in parts if part not in kept)
        if len(kept) < len(parts):
            dropped += len(parts) - len(kept)
            write_text(lock, head + mark + "".join(f"  {part}" for part in kept) if kept else f"{head}\nstages: {{}}\n")
    return dropped, was_earlier


def _name(text: str) -> str:
    return text.partition(":")[0].strip("\"'")
