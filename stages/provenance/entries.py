"""Whether the lock files fit together: with params.yaml, with what DVC is told to run, with each other and with the last commit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stages.errors import GlossaError
from stages.provenance import lock
from stages.provenance.check import Check
from stages.provenance.lock import Entry, Locked
from stages.provenance.project import Project
from stages.wiring import leftovers, locks
from stages.wiring.locks import LOCK, file_of

NOT_COMMITTED = "is not as committed; commit it after dvc repro, so that somebody vouches for it"
IN_NO_COMMIT = "no commit has one to compare with"


def check(project: Project) -> tuple[list[Locked], Check]:
    """The stages that params.yaml describes and that have run, and the one check."""
    check = Check("lock", "lock files and params.yaml, the stages that DVC is told, each other, and the last commit")
    stages = []
    for due in project.due:
        name = project.maker(due.output)
        if name is None:
            item = locks.of_coder(due.words[1]) if len(due.words) > 1 else LOCK
            check.fail(f"{item}, {due.output}", "params.yaml describes it, but no stage has written it; run dvc repro")
            continue
        try:
            stages.append(project.lock[name])
            check.passed()
        except GlossaError as error:
            check.fail(lock.place(name), str(error))
    _agree(stages, check)
    for name in project.lock:
        _told(project, name, check)
    for file in leftovers.pipelines(project.p):
        check.fail(str(file), "is of a coder that params.yaml does not name; run glossa wire, which takes it away")
    for vouched, is_same in project.vouched.items():
        if is_same:
            check.passed()
        else:
            check.skip(vouched, IN_NO_COMMIT if is_same is None else NOT_COMMITTED)
    return stages, check


def _agree(stages: Iterable[Locked], check: Check) -> None:
    """What one stage read is what another wrote."""
    wrote = {out.path: (stage.name, out.md5) for stage in stages for out in stage.outs}
    for stage in stages:
        for dep in stage.deps:
            if dep.path in wrote:
                maker, md5 = wrote[dep.path]
                said = f"{maker} wrote {md5}, but {stage.name} read {dep.md5}"
                check.expect(dep.md5 == md5, f"{file_of(stage.name)}, {dep.path}", said)


def _told(project: Project, name: str, check: Check) -> None:
    """An entry is of a stage that there is, and of its command, of what it reads and what it writes."""
    file, item = file_of(name), lock.place(name)
    yaml = file.with_suffix(".yaml")
    told = project.declared.get(name)
    if told is None:
        check.fail(
            item, f"{yaml} has no such stage; run glossa wire, which drops what was renamed, or restore it from git"
        )
        return
    try:
        locked = project.lock[name]
    except GlossaError as error:
        if name not in project.ran:  # else it is told already
            check.fail(item, str(error))
        return
    due, is_told = project.ran.get(name), told.cmd in (None, locked.cmd)
    wanted = locked.cmd if due is None or file == LOCK else " ".join(("glossa", *due.words))
    if not is_told:
        said = f"says that {locked.cmd!r} ran, but {yaml} says {told.cmd!r}; run dvc repro, or restore it from git"
        check.fail(item, said)
    else:  # the stages of coders follow from params.yaml, those of the root are written by hand
        said = f"says that {locked.cmd!r} ran, which should be {wanted!r}; run glossa wire and dvc repro"
        check.expect(locked.cmd == wanted, item, said)
    for verb, entries, paths_told in (("read", locked.deps, told.deps), ("wrote", locked.outs, told.outs)):
        if paths_told is not None:
            check.expect(*_same(item, verb, entries, paths_told, yaml))


def _same(item: str, verb: str, entries: Iterable[Entry], told: frozenset[str], yaml: Path) -> tuple[bool, str, str]:
    found = {entry.path for entry in entries}
    listed = [f"{path}, which {yaml} does not list" for path in sorted(found - told)]
    listed += [f"not {path}, which {yaml} lists" for path in sorted(told - found)]
    more = f" and {len(listed) - 1} more" if len(listed) > 1 else ""
    return not listed, item, f"says that it {verb} {''.join(listed[:1])}{more}; run dvc repro, or restore it from git"
