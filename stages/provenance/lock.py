"""dvc.lock: what every stage read, was told and wrote when it last ran."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.errors import GlossaError

LOCK = Path("dvc.lock")
STAGE = re.compile(r"^  (?=[^\s#])", re.MULTILINE)
"""Where the entry of a stage begins: DVC indents by two spaces."""


class Entry(NamedTuple):
    """A file or folder as a stage found or left it."""

    path: str
    md5: str | None
    """Of a file its bytes', of a folder its manifest's and ``.dir``; None where DVC noted another hash."""
    size: int | None = None


class Locked(NamedTuple):
    """One stage."""

    name: str
    """As DVC calls it, such as ``explain@resid2-llm``."""
    cmd: str
    deps: tuple[Entry, ...]
    outs: tuple[Entry, ...]
    params: dict[str, dict[str, Any]]
    """{file: {dotted key: value}}."""


OUT = re.compile(r"^    - path: (.+)$", re.MULTILINE)


class Lock(Mapping[str, Locked]):
    """The stages by name; one is parsed when it is asked for, as a long file takes seconds."""

    def __init__(self, text: str) -> None:
        _, _, rest = text.partition("\nstages:\n")
        self._texts = {_name(part): part for part in STAGE.split(rest) if part.strip()}
        self._parsed: dict[str, Locked] = {}
        # DVC keeps the entry of a stage that was renamed, and appends the new one, which comes later.
        self._makers = {
            path.strip("\"'"): name
            for name, part in self._texts.items()
            for path in OUT.findall(part.partition("\n    outs:\n")[2])
        }

    def maker(self, path: Path) -> str | None:
        """The stage that wrote an output, whatever it is called; None if none did."""
        return self._makers.get(path.as_posix())

    @property
    def outputs(self) -> Iterable[str]:
        """The paths of all outputs."""
        return self._makers.keys()

    @classmethod
    def read(cls, path: Path = LOCK) -> Lock:
        """Reads dvc.lock; raises GlossaError if there is none or it is damaged."""
        try:
            lock = cls(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise GlossaError(f"expected {path} here, but there is no such file; run dvc repro") from None
        except UnicodeDecodeError:
            raise GlossaError(f"expected text in {path}, but it is damaged; restore it from git") from None
        if not lock:
            raise GlossaError(f"expected stages in {path}, but there are none; run dvc repro")
        return lock

    def __getitem__(self, name: str) -> Locked:
        if name not in self._parsed:
            self._parsed[name] = _parse(name, self._texts[name])
        return self._parsed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def _name(text: str) -> str:
    return text.partition(":")[0].strip("\"'")


def _parse(name: str, text: str) -> Locked:
    try:
        (value,) = YAML(typ="safe", pure=True).load(text).values()
        deps, outs = (tuple(_entry(one) for one in value.get(key) or ()) for key in ("deps", "outs"))
        return Locked(name, value["cmd"], deps, outs, value.get("params") or {})
    except (YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise GlossaError(f"{LOCK}: the entry of {name} is damaged ({why}); restore it from git") from None


def _entry(value: dict[str, Any]) -> Entry:
    # Without the word md5, DVC 2 wrote it, which hashed text files with other line ends.
    return Entry(value["path"], value.get("md5") if value.get("hash") == "md5" else None, value.get("size"))
