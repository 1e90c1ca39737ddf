"""What README and docs print: commands, in blocks and in the text, and snippets of YAML and Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))]
PROGRAMS = {
    "curl", "dvc", "export", "for", "git", "glossa", "gto", "hf", "ollama", "openssl", "pip", "pytest", "python", "rm", "ssh", "vllm",
}  # fmt: skip
"""First words of a command."""
OWN_FOLDER = "~/"
"""How a command begins that is a program of another environment."""
COMMENT = re.compile(r"\s+# .*|\s{2,}#.*")


class Snippet(NamedTuple):
    """What stands together in an indented block, without its indentation."""

    page: str
    line: int
    text: str
    kind: str
    """``shell``, ``python``, ``yaml`` or ``text``."""


@cache
def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def snippets(page: str) -> Iterator[Snippet]:
    """Yields the blocks of a page, split where a shell's lines end or begin."""
    lines = text_of(page).splitlines()
    indented = [bool(line.strip()) and line.startswith("    ") for line in lines]
    number, n = 0, len(lines)
    while number < n:
        if not indented[number] or (number and lines[number - 1].strip() and not indented[number - 1]):
            number += 1  # the second line of an item of a list is indented, too, but no block
            continue
        end = number
        while end < n and (indented[end] or (not lines[end].strip() and end + 1 < n and indented[end + 1])):
            end += 1
        yield from _parts(page, number + 1, [line[4:] for line in lines[number:end]])
        number = end


def _parts(page: str, first: int, block: list[str]) -> Iterator[Snippet]:
    whole = "\n".join(block)
    if _is_python(whole):
        yield Snippet(page, first, whole, "python")
        return
    edges = [0, *(i + 1 for i, line in enumerate(block) if not line.strip()), len(block)]
    pieces = [(begin, "\n".join(block[begin:end]).rstrip()) for begin, end in pairwise(edges)]
    joined: list[tuple[int, str, str]] = []
    for begin, text in pieces:
        kind = "shell" if _is_shell(text) else "other"
        if joined and kind == joined[-1][2] == "other":
            joined[-1] = (joined[-1][0], f"{joined[-1][1]}\n\n{text}", kind)
        else:
            joined.append((begin, text, kind))
    for begin, text, kind in joined:
        known = kind if kind == "shell" else "yaml" if isinstance(yaml(text), dict) else "text"
        yield Snippet(page, first + begin, text, known)


def _is_shell(text: str) -> bool:
    word = text.split(maxsplit=1)[0] if text.strip() else ""
    return word in PROGRAMS or word.startswith(OWN_FOLDER)


def _is_python(text: str) -> bool:
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return False
    return any(isinstance(part, ast.Import | ast.ImportFrom | ast.For) for part in body)


def yaml(text: str) -> Any:
    """The snippet as YAML 1.2; None if it is none."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError):
        return None


def commands(page: str) -> list[str]:
    """The commands that a page tells people to type, in their order: those of blocks, then those in the text, each once."""
    found: dict[str, None] = {}
    for snippet in snippets(page):
        if snippet.kind == "shell":
            found |= dict.fromkeys(_typed(snippet.text))
    return list(found | dict.fromkeys(span for span in spans(page) if span.split()[0] in PROGRAMS and " " in span))


def spans(page: str) -> Iterator[str]:
    """Yields what stands between backticks in the text of a page."""
    lines = [line for line in text_of(page).splitlines() if not line.startswith("    ")]
    for paragraph in "\n".join(lines).split("\n\n"):
        yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", paragraph) if span.strip())


def _typed(text: str) -> Iterator[str]:
    """The commands of some lines: a loop is one, a line that goes on behind ``\\`` too, and ``&&`` stands between two."""
    text = re.sub(r"\\\n\s*", "", text)
    text = re.sub(r"^for .*?\ndone", lambda loop: loop[0].replace("\n", "\0"), text, flags=re.MULTILINE | re.DOTALL)
    for line in text.splitlines():
        bare = COMMENT.sub("", line).strip()
        if bare and bare != "…":
            yield from (part.strip().replace("\0", "\n") for part in bare.split(" && "))
