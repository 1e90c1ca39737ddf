"""Random edits of constants that stages really executed, and which stages then make something else."""

from __future__ import annotations

import ast
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stages.wiring import made
from tests.clones import ROOT
from tests.wiring.conftest import Finished
from tests.wiring.workbench import STAGES, Workbench, digest_of, top_level


class Constant(NamedTuple):
    """Where a constant stands."""

    file: str
    line: int
    start: int
    end: int
    """Columns in bytes of UTF-8."""
    value: object
    definition: str


class Outcome(NamedTuple):
    """What came of an edit."""

    constant: Constant
    new: object
    rerun: set[str]
    """Stages whose fingerprint is another."""
    changed: set[str]
    """Stages that make something else of the same inputs, or fail."""


def constants(finished: Finished) -> list[Constant]:
    """Returns the constants on lines that some stage executed, of functions, and of the top level of modules that were watched."""
    lines: dict[str, set[int]] = {}
    for seen in finished.seen.values():
        for file, found in seen["lines"].items():
            lines.setdefault(file, set()).update(found)
    return sorted(constant for file, found in lines.items() for constant in _in_file(Path(file), found))


def _in_file(file: Path, lines: set[int]) -> Iterator[Constant]:
    source = file.read_text()
    tree, statements = ast.parse(source), top_level(source)
    unread = {id(node) for top in ast.walk(tree) for node in _unread(top)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in unread or type(node.value) not in (int, float, str, bool):
            continue
        if node.lineno not in lines or node.lineno != node.end_lineno:
            continue
        name = next(name for first, last, name in statements if first <= node.lineno <= last)
        place = file.relative_to(ROOT).as_posix()
        yield Constant(place, node.lineno, node.col_offset, node.end_col_offset or 0, node.value, name)


def _unread(node: ast.AST) -> Iterator[ast.AST]:
    """Docstrings, annotations, and pieces of f-strings, whose columns are not their own."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node.value
    for name in ("annotation", "returns"):
        if isinstance(found := getattr(node, name, None), ast.AST):
            yield from ast.walk(found)
    if isinstance(node, ast.JoinedStr):
        yield from ast.walk(node)


def another(value: object) -> object:
    """Returns another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value * 1.5 + 0.25 if isinstance(value, float) else f"{value}x"


def edits(finished: Finished, seed: int, n: int, spare: Path) -> Iterator[Outcome]:
    """Yields what comes of ``n`` edits, each in a definition of its own and in a copy of the code that lies in ``spare``."""
    bench = finished.bench
    draw = random.Random(seed)
    by_definition: dict[tuple[str, str], list[Constant]] = {}
    for constant in constants(finished):
        by_definition.setdefault((constant.file, constant.definition), []).append(constant)
    before = fingerprints(bench, ROOT, spare / "before")
    made_before = {" ".join(words): digest_of(bench.folder, words) for words in STAGES}
    for number, key in enumerate(draw.sample(sorted(by_definition), n)):
        constant = draw.choice(by_definition[key])
        code = spare / f"code-{number}"
        shutil.copytree(ROOT / "stages", code / "stages")
        file = code / constant.file
        text = file.read_bytes().splitlines(keepends=True)
        line = text[constant.line - 1]
        new = another(constant.value)
        text[constant.line - 1] = line[: constant.start] + repr(new).encode() + line[constant.end :]
        file.write_bytes(b"".join(text))
        after = fingerprints(bench, code, spare / f"after-{number}")
        found = bench.outs(code, bench.folder, spare / f"outs-{number}")
        names = {" ".join(words): made.key_of(words) for words in STAGES}
        yield Outcome(
            constant,
            new,
            {stage for stage, key_of in names.items() if before[key_of] != after.get(key_of)},
            {stage for stage in names if found[stage] != made_before[stage]},
        )
        shutil.rmtree(code)


def fingerprints(bench: Workbench, code: Path, place: Path) -> dict[str, str]:
    """The fingerprints of all stages by the code below ``code``; none if it can't be run."""
    place.mkdir(parents=True)
    shutil.copy(bench.folder / "params.yaml", place)
    return bench.run(code, ("fingerprints",), place).get("fingerprints", {})
