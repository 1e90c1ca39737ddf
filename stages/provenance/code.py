"""Which files of code are other than in the commit of a lock file."""

from __future__ import annotations

from pathlib import Path

from stages.wiring import git, inputs
from stages.wiring.source import parse


def changed_since(lock_file: Path) -> set[str] | None:
    """Returns the files of stages/ that do other things than when a lock file was committed.

    What fingerprints do not cover, such as comments, does not count. Returns None if git can't tell, as where the project brings no
    code of its own.
    """
    commit = (git.last_change(lock_file) or "").partition(" ")[0] if inputs.CODE.is_dir() else ""
    changed = git.changed_since(commit, inputs.CODE) if commit else None
    return None if changed is None else {name for name in changed if _does_other_things(commit, name)}


def _does_other_things(commit: str, name: str) -> bool:
    before, now = git.content(commit, name), Path(name)
    if before is None or not now.is_file() or now.suffix != ".py":
        return True
    try:
        was, is_ = (parse(text, "stages", now.name == "__init__.py") for text in (before, now.read_bytes()))
    except (SyntaxError, ValueError):
        return True
    definitions = [[(one.names, one.digest) for one in source.definitions] for source in (was, is_)]
    return definitions[0] != definitions[1] or was.imports != is_.imports
