"""DVC's lock files, dvc.lock and one of each sparse coder: what every stage read, was told and wrote when it last ran."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stages.errors import GlossaError, said
from stages.wiring import locks
from stages.wiring.locks import LOCK, file_of, of_coder, read


class Entry(NamedTuple):
    """A file or folder as a stage found or left it."""

    path: str
    md5: str | None
    """Of a file its bytes', of a folder its manifest's and ``.dir``; None where DVC noted another hash."""
    size: int | None = None


class Locked(NamedTuple):
    """One stage."""

    name: str
    """As DVC calls it from the root, such as ``tokenize`` or ``pipelines/resid2/dvc.yaml:explain@llm``."""
    cmd: str
    deps: tuple[Entry, ...]
    outs: tuple[Entry, ...]
    params: dict[str, dict[str, Any]]
    """{file: {dotted key: value}}."""


def place(stage: str) -> str:
    """Returns where a stage's entry stands, such as ``pipelines/resid2/dvc.lock, explain@llm``."""
    return f"{file_of(stage)}, {stage.rpartition(':')[2]}"


class Lock(Mapping[str, Locked]):
    """The stages of some lock files by name; the entry of one is looked into when it is asked for."""

    def __init__(self, entries: Mapping[Path, Mapping[str, Any]]) -> None:
        self._entries = {
            name if file == LOCK else f"{file.with_suffix('.yaml').as_posix()}:{name}": value
            for file, stages in entries.items()
            for name, value in stages.items()
        }
        self._makers: dict[str, list[str]] = {}
        for name, value in self._entries.items():
            for path in _outs(value):
                self._makers.setdefault(path, []).append(name)

    @classmethod
    def read(cls, coders: Iterable[str] | None = None) -> Lock:
        """Reads dvc.lock and the lock files of some coders, or all that are here.

        Raises:
            GlossaError: there is no dvc.lock, no stage has run, or a file is damaged.
        """
        if not LOCK.is_file():
            raise GlossaError(f"expected {LOCK} here, but there is no such file; run dvc repro")
        files = locks.files() if coders is None else [LOCK, *map(of_coder, coders)]
        lock = cls({file: read(file) for file in files if file.is_file()})
        if not lock:
            raise GlossaError(f"expected stages in {LOCK}, but there are none; run dvc repro")
        return lock

    def makers(self, path: Path) -> list[str]:
        """The stages that say they wrote an output; DVC keeps the entry of one that was renamed, before the new one."""
        return self._makers.get(path.as_posix(), [])

    @property
    def outputs(self) -> Iterable[str]:
        """The paths of all outputs."""
        return self._makers.keys()

    def __getitem__(self, name: str) -> Locked:
        """Returns a stage; raises GlossaError if its entry is damaged."""
        value = self._entries[name]
        try:
            deps, outs = (tuple(_entry(one) for one in value.get(key) or ()) for key in ("deps", "outs"))
            of_file = value.get("params") or {}
            return Locked(
                name, command(value["cmd"]), deps, outs, {file: dict(values) for file, values in of_file.items()}
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"{type(error).__name__}: {said(error, whole=True)}"
            raise GlossaError(
                f"{file_of(name)}: the entry of {name.rpartition(':')[2]} is damaged ({why}); restore it from git"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def command(value: Any) -> str:
    """Returns a command of dvc.yaml or a lock file, of which there may be several in a list, as one text."""
    if isinstance(value, str):
        return value
    return " && ".join(map(str, value))


def _outs(value: Any) -> list[str]:
    """The paths of outputs in an entry, as far as it is sound."""
    outs = value.get("outs") if isinstance(value, dict) else None
    return (
        [str(one["path"]) for one in outs if isinstance(one, dict) and "path" in one] if isinstance(outs, list) else []
    )


def _entry(value: dict[str, Any]) -> Entry:
    # Without the word md5, DVC 2 wrote it, which hashed text files with other line ends.
    md5 = value.get("md5") if value.get("hash") == "md5" else None
    if not isinstance(value["path"], str) or not isinstance(md5, str | None):
        raise TypeError("a path and a hash should be text")
    return Entry(value["path"], md5, value.get("size"))
