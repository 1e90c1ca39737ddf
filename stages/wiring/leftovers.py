"""What earlier versions of params.yaml have left: outputs, and stages that no entry describes any more."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from stages import paths, plan
from stages.params import Params
from stages.wiring import locks, made


def outputs(p: Params) -> list[Path]:
    """Returns the outputs that no entry of params.yaml makes any more, the topmost folder of every branch."""
    wanted = {path for coder in p.coders for path in (paths.latents(coder), paths.examples(coder))}
    wanted |= {paths.explanations(*pair) for pair in product(p.coders, p.explainers)}
    wanted |= {paths.scores(*triple) for triple in plan.wanted(p)}
    parents = {parent for path in wanted for parent in path.parents}

    def unused(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path in parents:
                yield from unused(path)
            elif path not in wanted and not path.name.startswith("."):
                yield path

    rooms = {Path(*path.parts[:2]) for path in (*wanted, paths.scores("x", "x", "x"))}
    return [path for room in sorted(rooms) for path in unused(room)]


def pipelines(p: Params) -> list[Path]:
    """Returns the files of stages, what DVC and Glossa keep beside them, of coders that params.yaml does not name any more."""
    known = {paths.pipeline(coder).parent for coder in p.coders}
    folders = {path.parent for path in paths.PIPELINES.glob("*/dvc.yaml")} - known
    files = (folder / name for folder in folders for name in (paths.PIPELINE.name, locks.LOCK.name, made.NAME))
    return sorted(file for file in files if file.is_file())
