"""What a stage ran with, by its fingerprint in the lock file and the values in made.json, and what it would run with now."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from stages import paths
from stages.errors import GlossaError
from stages.provenance.node import Status
from stages.provenance.project import Due, Project
from stages.provenance.values import MISSING, differences
from stages.wiring import fingerprints, made, reach
from stages.wiring.locks import file_of

FINGERPRINT = re.compile(r"code ([0-9a-f]+) params ([0-9a-f]+)")
SECTIONS = {"explain": "explainers", "score": "scorers"}
"""Of params.yaml, where the entry of a stage stands."""


class Noted(NamedTuple):
    """What made.json says that a stage was made with."""

    file: Path
    status: Status
    """``ok`` if its values have the hash that the lock file holds."""
    said: str = ""
    """Why it is not."""
    values: dict[str, Any] | None = None
    """By their places in params.yaml; None unless they have that hash."""
    code: str | None = None
    """The hash of the code that it notes."""
    packages: Mapping[str, str] = MappingProxyType({})
    """Versions, which no hash covers; none where it tells of another run."""


class Ran(NamedTuple):
    """One stage."""

    stage: str
    """As DVC calls it."""
    due: Due
    code: str
    """The hash of the code that it could execute when it ran."""
    params: str
    """The hash of the values that it read then."""
    now: fingerprints.Part
    noted: Noted

    @property
    def is_same_code(self) -> bool:
        """Whether it could execute the same now."""
        return self.code == self.now.code

    @property
    def is_same_params(self) -> bool:
        """Whether it would read the same values now."""
        return self.params == fingerprints.hash_of(self.now.values)

    @property
    def values(self) -> dict[str, Any]:
        """What it would read now, by places in params.yaml."""
        return _placed(self.due.key, self.now.values)

    @property
    def files(self) -> set[str]:
        """The files of the code that it can execute now."""
        return {place.partition(":")[0] for place in _reached(self.now.starts)}

    def changed_values(self) -> list[tuple[str, Any, Any]]:
        """Returns (place in params.yaml, before, now) of every value that differs, as far as made.json knows what they were."""
        was, now = self.noted.values, self.values
        if self.is_same_params or was is None:
            return []
        return [
            found for key in {**was, **now} for found in _differences(key, was.get(key, MISSING), now.get(key, MISSING))
        ]

    def changed_files(self, project: Project) -> list[str]:
        """Returns those of its files that are other than when it ran, as far as git knows the commit of its lock file."""
        changed = None if self.is_same_code else project.changed_code(file_of(self.stage))
        return sorted(self.files & changed) if changed else []


def of(project: Project, stage: str) -> Ran:
    """Returns what there is to know of a stage that has run, of those that params.yaml describes.

    Raises:
        GlossaError: its lock file has no fingerprint of it, or its code can't be read.
    """
    due = project.ran[stage]
    found = project.lock[stage].params.get(str(paths.FINGERPRINTS), {}).get(due.key)
    match = FINGERPRINT.fullmatch(str(found))
    if match is None:
        raise GlossaError(
            f"{file_of(stage)} should have the fingerprint {due.key} of {stage.rpartition(':')[2]}, found {found}; "
            "run dvc repro, or restore it from git"
        )
    code, params = match.groups()
    return Ran(stage, due, code, params, fingerprints.part(project.p, due.key), _noted(project, due, code, params))


def prompts(now: fingerprints.Part) -> list[str]:
    """Returns the files that hold what a stage tells a language model, of those that it can reach."""
    return sorted(place for place in _reached(now.starts) if place.endswith(".md"))


def packages(project: Project) -> dict[str, Any]:
    """Returns what made.json says of the stages that params.yaml describes, as ``made.others`` takes it."""
    found = {}
    for due in project.due:
        name = " ".join(due.words)
        found[name] = {"packages": _packages(project.made[made.place(due.key)].get(name))}
    return found


@cache
def _reached(starts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(part.place for part in reach.reached(starts))


def _noted(project: Project, due: Due, code: str, params: str) -> Noted:
    file, name = made.place(due.key), " ".join(due.words)
    entries = project.made[file]
    if not entries and file.is_file():
        return Noted(file, "differs", f"{file} can't be read; restore it from git")
    entry = entries.get(name)
    if entry is None:
        return Noted(file, "unchecked", f"{file} has nothing of {name}")
    said = FINGERPRINT.fullmatch(str(entry.get("fingerprint"))) if isinstance(entry, dict) else None
    if said is None or not isinstance(entry.get("params"), dict) or fingerprints.hash_of(entry["params"]) != said[2]:
        return Noted(
            file, "differs", f"{file} has other values of {name} than their hash there says; restore it from git"
        )
    if said[2] != params:
        return Noted(file, "unchecked", f"{file} tells of another run of {name}")
    return Noted(
        file, "ok", "", _placed(due.key, entry["params"]), said[1], _packages(entry) if said[1] == code else {}
    )


def _packages(entry: Any) -> dict[str, str]:
    found = entry.get("packages") if isinstance(entry, dict) else None
    return {name: str(version) for name, version in found.items()} if isinstance(found, dict) else {}


def _placed(key: str, values: dict[str, Any]) -> dict[str, Any]:
    """The values of a fingerprint by their places in params.yaml: what it calls entry is there ``explainers.llm``."""
    _, *words = key.split(".")
    places = {}
    if words:
        places["coder"] = f"coders.{words[0]}"
    if len(words) == 3:
        places["entry"] = f"{SECTIONS[words[1]]}.{words[2]}"
    return {places.get(name, name): value for name, value in values.items()}


def _differences(key: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """As ``values.differences``, also of sections in which the order of names counts, which are lists of pairs."""
    if not _is_named(was) or not _is_named(now):
        yield from differences(key, was, now)
        return
    yield from differences(key, dict(was), dict(now))
    before, after = ([name for name, _ in one] for one in (was, now))
    if before != after and sorted(before) == sorted(after):
        yield f"order of {key}", before, after


def _is_named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, list) and len(one) == 2 for one in value)
