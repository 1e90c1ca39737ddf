"""The parts of dvc.yaml that follow from params.yaml.

DVC loops over entries, but among dependencies it can't put in a list, leave one out or name all outputs of a loop. So these lines
are generated: a block stands below a mark such as ``# wired: report.data`` and reaches to the next mark or the end of its list.
All else in dvc.yaml is written by hand and kept as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import NamedTuple

from stages import paths, plan
from stages.errors import GlossaError, nearest
from stages.params import Params
from stages.wiring import artifacts, inputs

OWN_LINES = {"artifacts": r" |explanations-", "tokenize.data": r"deps:|  - "}
"""How lines of a block that is no list begin behind its indentation."""
LIST_LINES = r"[ #]|- "

MARK = re.compile(r"( *)# wired: ([a-z.]+)")
PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*")
NOT_PLAIN = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


class Block(NamedTuple):
    """Generated lines in dvc.yaml: those from index ``start``, behind the mark, up to ``end``."""

    name: str
    indent: str
    start: int
    end: int


def blocks(p: Params) -> dict[str, list[str]]:
    """Returns the generated lines of every block, without their indentation.

    Raises:
        GlossaError: the subject's folder is missing.
    """
    coders = list(p.coders)
    explained = [paths.explanations(*pair) for pair in product(coders, p.explainers)]
    scored = [paths.scores(*triple) for triple in plan.wanted(p)]
    compared = [
        *explained,
        *inputs.compared(p),
        *(path for entry in p.explainers.values() if p.compare.ceiling for path in inputs.own(p, entry)),
        *inputs.subject(p.subject),
        *dict.fromkeys(path for coder in coders for path in inputs.weights(p, coder)),
    ]
    return {
        "code.data": _list(inputs.code(p)),
        "tokenize.data": _deps(inputs.corpus(p)),
        "compare.data": _list(compared),
        "report.data": _list(scored),
        "artifacts": artifacts.lines(p),
    }


def find(text: str) -> list[Block]:
    """Returns the blocks that dvc.yaml holds, in their order.

    Raises:
        GlossaError: the same mark is there twice.
    """
    lines = text.splitlines()
    found: list[Block] = []
    for i, line in enumerate(lines):
        if mark := MARK.fullmatch(line):
            indent, name = mark.groups()
            if name in {block.name for block in found}:
                raise GlossaError(
                    f"{paths.PIPELINE} line {i + 1} has the mark '# wired: {name}' again; remove one of them"
                )
            own = f"{indent}(?:{OWN_LINES.get(name, LIST_LINES)})"
            found.append(Block(name, indent, i + 1, _end(lines, i + 1, own)))
    return found


def rewrite(text: str, generated: Mapping[str, list[str]]) -> str:
    """Returns dvc.yaml with the ``generated`` lines in its blocks.

    Raises:
        GlossaError: a mark is missing, unknown or there twice.
    """
    lines = text.splitlines()
    found = find(text)
    for block in found:
        if block.name not in generated:
            hint = nearest(block.name, generated)
            raise GlossaError(
                f"{paths.PIPELINE} line {block.start} has the unknown mark '# wired: {block.name}'; {hint}"
            )
    if missing := generated.keys() - {block.name for block in found}:
        raise GlossaError(f"{paths.PIPELINE} should have the mark '# wired: {min(missing)}'; restore it from git")
    for block in reversed(found):
        lines[block.start : block.end] = [(block.indent + line).rstrip() for line in generated[block.name]]
    return "\n".join(lines) + "\n"


def _end(lines: list[str], start: int, own: str) -> int:
    """The index behind the last of a block's lines, which begin as ``own`` says, or are empty between such."""
    end = start
    for i in range(start, len(lines)):
        if lines[i].strip():
            if not re.match(own, lines[i]) or MARK.fullmatch(lines[i]):
                break
            end = i + 1
    return end


def _deps(values: Iterable[Path]) -> list[str]:
    """The key and its list; neither where a stage depends on nothing, as DVC refuses an empty list."""
    lines = _list(values)
    return ["deps:", *(f"  {line}" for line in lines)] if lines else []


def _list(values: Iterable[Path]) -> list[str]:
    return [f"- {_scalar(value)}" for value in values]


def _scalar(value: str | Path) -> str:
    """A string as YAML in which DVC finds no ``${…}``."""
    text = (value.as_posix() if isinstance(value, Path) else value).replace("${", r"\${")
    return text if PLAIN.fullmatch(text) and text.lower() not in NOT_PLAIN else json.dumps(text, ensure_ascii=False)
