"""What an audit comes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from stages.machine.counted import counted
from stages.provenance.check import Check
from stages.provenance.project import Project


class Outcome(NamedTuple):
    """In one word, in a sentence, and as an exit code."""

    state: Literal["right", "wrong", "unknown"]
    said: str
    counted: str
    """How much was looked at, and how much could not be."""
    code: Literal[0, 1, 2]


def outcome(project: Project, found: Sequence[Check], strict: bool = False) -> Outcome:
    """Returns what ``found`` comes to; if ``strict``, things that were not checked count as failures."""
    left = {check.name: n for check in found if (n := sum(map(len, check.unknown.values())))}
    told = f"{counted(sum(check.checked for check in found), 'comparison')} in {counted(len(found), 'check')}"
    told += f", {counted(sum(left.values()), 'thing')} not checked" if left else ""
    failed = [check.name for check in found if check.failed]
    if failed:
        return Outcome("wrong", f"{len(failed)} of {len(found)} checks failed: {', '.join(failed)}", told, 1)
    if not any(path.exists() for path in project.outputs):
        n = len(project.outputs)
        said = f"Nothing could be checked: none of {n} outputs is here; run dvc pull, or dvc repro"
        return Outcome("unknown", said, told, 2)
    if strict and left:
        return Outcome("unknown", f"Not all could be checked, as --strict demands: {', '.join(left)}", told, 1)
    return Outcome("right", "Nothing differs", told, 0)
