"""Whose code runs: the project's own, if it brings one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import stages
from stages.errors import GlossaError

CODE = Path("stages")
"""Of a project that brings its own."""
FOLDER = Path(stages.__file__).parent


def check() -> None:
    """Makes sure that it is the code of this project that runs.

    An editable installation runs the clone that it was made from, in whatever clone or worktree the command is given; dvc.lock would
    then vouch for code that never ran. A copy with the same content, such as DVC makes for experiments, is as good.

    Raises:
        GlossaError: the current folder has other code than runs.
    """
    own = CODE.resolve()
    if not (own / "__init__.py").is_file() or own == FOLDER.resolve() or _digest(own) == _digest(FOLDER):
        return
    raise GlossaError(
        f"expected the code of this project, {own}, to run, but it is {FOLDER.resolve()} that does, and they differ; run pip install -e . "
        f"here, or set PYTHONPATH={own.parent}"
    )


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if file.is_file() and "__pycache__" not in name.parts and not any(part.startswith(".") for part in name.parts):
            found.update(f"{name.as_posix()}\0{file.stat().st_size}\0".encode())
            found.update(file.read_bytes())
    return found.hexdigest()
