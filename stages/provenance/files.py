"""Whether everything still lies there as dvc.lock says it was read and written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stages.errors import GlossaError
from stages.params import read_yaml
from stages.provenance import git
from stages.provenance.check import Check
from stages.provenance.lock import LOCK, Entry, Locked
from stages.provenance.project import Project
from stages.provenance.values import at, differences, shown

GONE = "is not here; dvc pull brings what was pushed"
OTHER_HASH = "has no md5 in dvc.lock"


def checks(project: Project) -> Iterator[Check]:
    """Yields the checks of outputs, inputs, params and the lock itself."""
    stages, lock = _stages(project)
    yield lock
    yield _outputs(project, stages)
    yield _inputs(project, stages)
    yield _params(stages)


def _stages(project: Project) -> tuple[list[Locked], Check]:
    """The stages that have run, and whether dvc.lock fits together."""
    check = Check("lock", "dvc.lock names every stage, agrees with itself, and is as committed")
    stages, lock = [], project.lock
    for path in project.outputs:
        name = project.maker(path)
        if name is None:
            check.fail(f"{LOCK}, {path}", "params.yaml describes it, but no stage has written it; run dvc repro")
            continue
        try:
            stages.append(lock[name])
            check.passed()
        except GlossaError as error:
            check.fail(f"{LOCK}, {name}", str(error))
    wrote = {out.path: (stage.name, out.md5) for stage in stages for out in stage.outs}
    for stage in stages:
        for dep in stage.deps:
            if dep.path in wrote:
                maker, md5 = wrote[dep.path]
                same = dep.md5 == md5
                check.expect(same, f"{LOCK}, {dep.path}", f"{maker} wrote {md5}, but {stage.name} read {dep.md5}")
    match git.is_as_committed(LOCK):
        case True:
            check.passed()
        case False:
            check.skip(str(LOCK), "is not as committed; commit it after dvc repro, so that somebody vouches for it")
        case None:
            check.skip(str(LOCK), "no commit has one to compare with")
    return stages, check


def _outputs(project: Project, stages: list[Locked]) -> Check:
    check = Check("outputs", "the bytes of every output, hashed anew, and dvc.lock")
    for stage in stages:
        for out in stage.outs:
            if why := _unhashed(project, out):
                check.skip(out.path, why)
            elif project.disk.md5(out.path) == out.md5:
                check.passed()
            else:
                names = project.disk.difference(out)
                check.fail(
                    out.path, f"is not what {stage.name} wrote{names and f': {names}'}; dvc checkout restores it"
                )
    return check


def _inputs(project: Project, stages: list[Locked]) -> Check:
    """Of what no stage writes: code, prompts, sparse coders, the subject, texts."""
    check = Check("inputs", "the bytes of code, prompts, coders, subject and texts, and what stages ran with")
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


def _params(stages: list[Locked]) -> Check:
    check = Check("params", "every value that stages ran with, and params.yaml")
    files = {file: read_yaml(Path(file)) for stage in stages for file in stage.params}
    changed: dict[tuple[str, str], list[str]] = {}
    for stage in stages:
        for file, values in stage.params.items():
            for key, was in values.items():
                now = at(files[file], key)
                found = list(differences(key, was, now))
                check.passed(not found)
                for place, before, after in found:
                    said = f"is {shown(after)}, was {shown(before)}"
                    changed.setdefault((f"{file}, {place}", said), []).append(stage.name)
    for (item, said), names in changed.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        check.fail(item, f"{said} when {names[0]}{more} ran; run dvc repro, or set it back")
    return check
