"""made.json, beside each lock file of DVC: what every output was made with, values of params.yaml and versions of packages.

It is committed with the lock file. No output depends on it: the same bytes may come of other versions. That its values are those of
the run that dvc.lock describes is told by their hash, which dvc.lock holds within the fingerprint.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from stages import paths
from stages.machine import runtime
from stages.machine.versions import installed
from stages.outputs import dumps, write_text
from stages.params import Params
from stages.wiring import fingerprints

NAME = "made.json"
PACKAGES = ("gguf", "numcodecs", "numpy", "sentence-transformers", "tokenizers", "torch", "transformers")
"""Those that compute what is in outputs."""


def record(p: Params, words: Sequence[str]) -> None:
    """Notes what a stage was made with that has just ended well, as ``glossa`` was told it: ``["score", "one", "llm", "fuzzing"]``.

    Does nothing where fingerprints.json has none of it: then it is not DVC that runs the stage.
    """
    key = key_of(words)
    said = fingerprints.read().get(key)
    if said is None:
        return
    entry = {"fingerprint": said, "packages": packages(), "params": fingerprints.part(p, key).values}
    file = place(key)
    with _alone():
        write_text(file, dumps({**read(file), " ".join(words): entry}))


def key_of(words: Sequence[str]) -> str:
    """Returns the dotted key of the fingerprint of a stage, as ``glossa`` is told it."""
    match words:
        case ["cache" | "sample" as stage, coder]:
            return f"coders.{coder}.{stage}"
        case ["explain", coder, explainer]:
            return f"coders.{coder}.explain.{explainer}"
        case ["score", coder, _, scorer]:
            return f"coders.{coder}.score.{scorer}"
    return words[0]


def place(key: str) -> Path:
    """Returns the file that holds what the stage with this fingerprint was made with."""
    first, *rest = key.split(".")
    return paths.pipeline(rest[0]).with_name(NAME) if first == "coders" else Path(NAME)


def read(file: Path) -> dict[str, Any]:
    """Returns {stage: what it was made with}; nothing if the file is missing or damaged."""
    try:
        found = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@cache
def packages() -> dict[str, str]:
    """Returns the installed versions of the packages that compute."""
    return {name: found for name in PACKAGES if (found := installed(name))}


def others(entries: Mapping[str, Any]) -> dict[str, set[str]]:
    """Returns {package: the versions, other than the installed one, with which something was made}."""
    found: dict[str, set[str]] = {}
    for entry in entries.values():
        for name, then in entry.get("packages", {}).items():
            if packages().get(name) != then:
                found.setdefault(name, set()).add(then)
    return found


def read_all() -> dict[str, Any]:
    """Returns what all outputs were made with, by stage."""
    files = [Path(NAME), *sorted(paths.PIPELINES.glob(f"*/{NAME}"))]
    return {f"{file.parent}:{stage}": entry for file in files for stage, entry in read(file).items()}


def warning(entries: Mapping[str, Any] | None = None) -> str | None:
    """Returns a sentence that says with which other versions than are installed outputs were made, of ``entries`` or all, if some were."""
    differing = others(read_all() if entries is None else entries)
    if not differing:
        return None
    said = (
        f"{name} {', '.join(sorted(then))} (here {packages().get(name, 'none')})"
        for name, then in sorted(differing.items())
    )
    return f"some outputs were made with other versions than are installed: {'; '.join(said)}"


@contextmanager
def _alone() -> Iterator[None]:
    """Keeps other processes from writing meanwhile."""
    home = runtime.home()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "made.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
