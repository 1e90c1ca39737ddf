"""The hashes that DVC notes, computed anew from the bytes: DVC itself trusts sizes and times."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.provenance.lock import Entry

CACHE = Path(".dvc/cache/files/md5")
NAMED = 3
"""Files of a folder that are named."""


def file_md5(path: Path) -> str:
    """The md5 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def manifest_md5(manifest: dict[str, str]) -> str:
    """The hash that DVC gives a folder of which ``manifest`` says, by the relative path of every file, its md5."""
    entries = [{"md5": manifest[name], "relpath": name} for name in sorted(manifest)]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


class Disk:
    """The files as they are; every one is hashed once, however often it is asked for."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str | None, dict[str, str]]] = {}

    def md5(self, path: str) -> str | None:
        """The hash of a file or folder as DVC would note it; None if there is nothing."""
        return self._read(path)[0]

    def difference(self, entry: Entry) -> str:
        """Says which files in a folder are not those of ``entry``, if DVC's cache still knows those; else nothing."""
        was, now = _cached(entry.md5), self._read(entry.path)[1]
        if was is None:
            return ""
        found = [f"{name} is gone" for name in was if name not in now]
        found += [f"{name} is new" for name in now if name not in was]
        found += [f"{name} has changed" for name in now if name in was and was[name] != now[name]]
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        return ", ".join(found[:NAMED]) + more

    def damaged(self, entry: Entry) -> list[Path]:
        """The copies in DVC's cache of what differs from ``entry``, as far as they are no better, so that ``dvc checkout`` restores nothing."""
        if entry.md5 is None:
            return []
        now = self._read(entry.path)[1]
        is_folder = entry.md5.endswith(".dir")
        was = _cached(entry.md5) if is_folder else {"": entry.md5}
        if was is None:
            return [path for path in [_copy(entry.md5)] if path.is_file()]
        copies = {_copy(md5): md5 for name, md5 in was.items() if now.get(name) != md5}
        return [path for path in sorted(copies) if path.is_file() and file_md5(path) != copies[path]]

    def _read(self, path: str) -> tuple[str | None, dict[str, str]]:
        if path not in self._found:
            place = Path(path).absolute()
            if place.is_dir():
                manifest = {
                    file.relative_to(place).as_posix(): file_md5(file) for file in self._files(place) if file.is_file()
                }
                self._found[path] = (manifest_md5(manifest), manifest)
            else:
                self._found[path] = (file_md5(place) if place.is_file() else None, {})
        return self._found[path]

    @cached_property
    def _ignore(self) -> Any:
        from dvc.fs import LocalFileSystem
        from dvc.ignore import DvcIgnoreFilter

        system = LocalFileSystem()
        return system, DvcIgnoreFilter(system, str(Path.cwd()))

    def _files(self, folder: Path) -> list[Path]:
        """The files of a folder that DVC does not ignore."""
        system, ignore = self._ignore
        return [Path(root) / name for root, _, names in ignore.walk(system, str(folder)) for name in names]


def _copy(md5: str) -> Path:
    return CACHE / md5[:2] / md5[2:]


def _cached(md5: str | None) -> dict[str, str] | None:
    """The manifest that DVC's cache has of a folder, unless it has been changed as well."""
    if md5 is None or not md5.endswith(".dir"):
        return None
    try:
        manifest = {one["relpath"]: one["md5"] for one in json.loads(_copy(md5).read_bytes())}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest if manifest_md5(manifest) == md5 else None
