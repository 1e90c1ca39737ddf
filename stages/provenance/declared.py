"""What DVC is told to run, by dvc.yaml and the files of stages of the sparse coders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stages import paths
from stages.errors import GlossaError
from stages.provenance import lock
from stages.wiring import locks, matrix

VARIABLE = re.compile(r"(?<!\\)\$\{")
"""Where DVC fills in what only DVC knows."""


class Told(NamedTuple):
    """A stage as DVC is told it; None stands for what DVC fills in from variables."""

    file: Path
    """What tells it."""
    cmd: str | None
    deps: frozenset[str] | None
    outs: frozenset[str] | None


class Declared:
    """The stages by name; that of one is looked into when it is asked for."""

    def __init__(self, files: Mapping[Path, Mapping[str, dict[str, Any]]]) -> None:
        self._files = files

    @classmethod
    def read(cls, coders: Iterable[str]) -> Declared:
        """Reads dvc.yaml and the files of some coders; raises GlossaError if one is damaged."""
        files = (paths.PIPELINE, *map(paths.pipeline, coders))
        found = {}
        for file in files:
            stages = _stages(file) if file.is_file() else {}
            found[file] = matrix.filled(stages)
        return cls(found)

    def get(self, name: str) -> Told | None:
        """Returns a stage by what DVC calls it; None if there is none."""
        file = locks.file_of(name).with_suffix(".yaml")
        stage = matrix.find(self._files.get(file, {}), name.rpartition(":")[2])
        if stage is None:
            return None
        outs = [*map(_known, (*_paths(stage, "outs"), *_paths(stage, "metrics"), *_paths(stage, "plots")))]
        deps = [*map(_known, _paths(stage, "deps"))]
        cmd = lock.command(stage.get("cmd", ""))
        return Told(file, _known(cmd), _all(deps), _all(outs))


def _stages(file: Path) -> dict[str, dict[str, Any]]:
    try:
        content = locks.yaml(file.read_bytes())
    except ValueError as error:
        raise GlossaError(f"expected stages in {file}, but it is damaged ({error}); restore it from git") from None
    stages = content.get("stages") or {} if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(
        isinstance(name, str) and isinstance(stage, dict) for name, stage in stages.items()
    ):
        raise GlossaError(f"expected {file} to say of every stage what it does; restore it from git")
    return stages


def _paths(stage: Mapping[str, Any], key: str) -> list[str]:
    """The paths in a list of a stage, some of which come with options."""
    return [str(next(iter(one)) if isinstance(one, dict) else one) for one in stage.get(key) or []]


def _known(text: str) -> str | None:
    return None if VARIABLE.search(text) else text.replace(r"\${", "${")


def _all(values: list[str | None]) -> frozenset[str] | None:
    known = frozenset(value for value in values if value is not None)
    return known if len(known) == len(set(values)) else None
