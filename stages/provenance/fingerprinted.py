"""Whether stages ran with the values and the code that are here."""

from __future__ import annotations

from collections.abc import Iterator

from stages import paths
from stages.errors import GlossaError
from stages.provenance import ran
from stages.provenance.check import Check
from stages.provenance.lock import Locked, place
from stages.provenance.project import Project
from stages.provenance.ran import FINGERPRINT, Ran
from stages.provenance.values import shown
from stages.wiring import fingerprints


class Shared:
    """Failures that several stages have in common, told once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], list[str]] = {}

    def add(self, item: str, before: str, after: str, stage: str) -> None:
        """Notes a failure of a stage, whose name will stand between the words ``before`` and ``after``."""
        self._found.setdefault((item, before, after), []).append(stage)

    def tell(self, check: Check) -> None:
        """Tells them all."""
        for (item, before, after), stages in self._found.items():
            more = f" and {len(stages) - 1} more" if len(stages) > 1 else ""
            check.fail(item, f"{before} {stages[0]}{more} {after}")


def checks(project: Project, stages: list[Locked]) -> Iterator[Check]:
    """Yields the checks of params and of code of some stages, which have run."""
    params = Check("params", "every value that stages ran with, by its hash or made.json, and params.yaml")
    code = Check("code", "the code that every stage could execute, by its hash, and the code here")
    told_params, told_code = Shared(), Shared()
    said = fingerprints.read()
    for locked in stages:
        try:
            found = ran.of(project, locked.name)
        except GlossaError as error:
            params.fail(place(locked.name), str(error))
            continue
        _params(found, params, told_params)
        _code(project, found, code, told_code)
        if paths.FINGERPRINTS.is_file():
            _fingerprint(found, said.get(found.due.key), params, code)
    if not paths.FINGERPRINTS.is_file():
        params.skip(str(paths.FINGERPRINTS), "is not here; glossa wire makes it")
    for key in sorted(said.keys() - set(fingerprints.keys(project.p))):
        params.fail(f"{paths.FINGERPRINTS}, {key}", "is of no stage that params.yaml describes; run glossa wire")
    told_params.tell(params)
    told_code.tell(code)
    yield params
    yield code


def _params(found: Ran, check: Check, told: Shared) -> None:
    noted = found.noted
    if noted.status == "differs":
        check.fail(_item(found), noted.said)
    elif noted.status == "unchecked":
        check.skip(
            _item(found), "does not have the values that the stage ran with, which are compared by their hash alone"
        )
    if found.is_same_params:
        check.passed(len(found.now.values))
        return
    changed = found.changed_values()
    for key, before, now in changed:
        said = f"is {shown(now)}, was {shown(before)} when"
        told.add(f"{paths.PARAMS}, {key}", said, "ran; run dvc repro, or set it back", found.stage)
    if not changed:
        told.add(
            str(paths.PARAMS), "gives other values than", "ran with; run dvc repro, or restore it from git", found.stage
        )


def _code(project: Project, found: Ran, check: Check, told: Shared) -> None:
    if found.noted.code not in (None, found.code):
        check.skip(_item(found), "tells of a run of other code than the lock file")
    if found.is_same_code:
        check.passed()
        return
    changed = found.changed_files(project)
    for file in changed:
        told.add(file, "is not what", "ran with; restore it, or run dvc repro", found.stage)
    if not changed:
        told.add("stages", "has other code than", "could execute; run dvc repro, or restore it from git", found.stage)


def _fingerprint(found: Ran, said: str | None, params: Check, code: Check) -> None:
    """fingerprints.json says what code and params here give: by it DVC tells what has to run."""
    item = f"{paths.FINGERPRINTS}, {found.due.key}"
    match = FINGERPRINT.fullmatch(str(said))
    if match is None:
        params.fail(item, f"should be a fingerprint, found {said}; run glossa wire")
        return
    due = found.now.code, fingerprints.hash_of(found.now.values)
    for check, what, is_, wanted in zip((code, params), ("code", "params"), match.groups(), due, strict=True):
        check.expect(is_ == wanted, item, f"says {what} {is_}, but it is {wanted} here; run glossa wire")


def _item(found: Ran) -> str:
    return f"{found.noted.file}, {' '.join(found.due.words)}"
