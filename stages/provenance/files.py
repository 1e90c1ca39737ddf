"""Whether everything still lies there as the lock files say it was read and written."""

from __future__ import annotations

from collections.abc import Iterator

from stages.provenance import entries, fingerprinted
from stages.provenance.check import Check
from stages.provenance.hashes import NAMED
from stages.provenance.lock import Entry, Locked
from stages.provenance.project import Project

GONE = "is not here; dvc pull brings what was pushed"
OTHER_HASH = "has no md5 in its lock file"


def checks(project: Project) -> Iterator[Check]:
    """Yields the checks of the lock files, and of the outputs, inputs, params and code that they have hashes of."""
    stages, lock = entries.check(project)
    yield lock
    yield _outputs(project, stages)
    yield _inputs(project, stages)
    yield from fingerprinted.checks(project, stages)


def _outputs(project: Project, stages: list[Locked]) -> Check:
    check = Check("outputs", "the bytes of every output, hashed anew, and the lock files")
    for stage in stages:
        for out in stage.outs:
            if why := _unhashed(project, out):
                check.skip(out.path, why)
            elif project.disk.md5(out.path) == out.md5:
                check.passed()
            else:
                names = project.disk.difference(out)
                check.fail(out.path, f"is not what {stage.name} wrote{names and f': {names}'}; {_remedy(project, out)}")
    return check


def _remedy(project: Project, out: Entry) -> str:
    damaged = [path.as_posix() for path in project.disk.damaged(out)]
    if not damaged:
        return "dvc checkout restores it"
    named = f"{', '.join(damaged[:NAMED])}{f' and {len(damaged) - NAMED} more' if len(damaged) > NAMED else ''}"
    return (
        f"what DVC keeps of it is damaged too: delete {out.path} and {named}, then dvc pull, or, if the remote has it no better, "
        "delete them again and dvc repro"
    )


def _inputs(project: Project, stages: list[Locked]) -> Check:
    """Of what no stage writes: sparse coders, the subject, texts."""
    check = Check("inputs", "the bytes of coders, subject and texts, and what stages ran with")
    wrote = {out.path for stage in stages for out in stage.outs}
    readers: dict[Entry, list[str]] = {}
    for stage in stages:
        for dep in stage.deps:
            if dep.path not in wrote:
                readers.setdefault(dep, []).append(stage.name)
    for dep, names in readers.items():
        if why := _unhashed(project, dep):
            check.skip(dep.path, why)
        elif project.disk.md5(dep.path) == dep.md5:
            check.passed()
        else:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            check.fail(dep.path, f"is not what {names[0]}{more} ran with; restore it, or run dvc repro")
    return check


def _unhashed(project: Project, entry: Entry) -> str:
    return OTHER_HASH if entry.md5 is None else GONE if project.disk.md5(entry.path) is None else ""
