"""What a module of stages/ needs to run, read from its source: the modules it imports and the files it opens beside it.

Nothing is imported. Module names are looked up below the working directory, the root of a clone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

from stages.errors import GlossaError

ROOT = "stages"

NO_PART = frozenset({ROOT, f"{ROOT}.__main__", f"{ROOT}.cli"})
"""What starts a stage but decides nothing in its output; the package's own ``__init__`` holds only its version."""


def files(module: str) -> set[Path]:
    """Returns the files of ``module`` and of everything it imports, at once or inside a function.

    A file that is no Python (a prompt, a template) counts with the modules beside it that name it, or with their
    package if none does. Imports under ``if TYPE_CHECKING`` do not count, they are never executed.

    Raises:
        GlossaError: a module is missing or can't be parsed.
    """
    reached: set[str] = set()
    queue = [module]
    while queue:
        name = queue.pop()
        if name not in reached and name not in NO_PART:
            reached.add(name)
            queue += [name.rpartition(".")[0], *_imported(name)]
    sources = {file_of(name) for name in reached}
    return sources | {data for source in sources for data in _data(source)}


def registry(room: str, variable: str) -> dict[str, str]:
    """Returns the literal ``{kind: module}`` that ``stages/<room>/__init__.py`` assigns to ``variable``."""
    file = file_of(f"{ROOT}.{room}")
    for node in _read(file).tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == variable:
            return ast.literal_eval(node.value)
    raise GlossaError(f"expected {variable} = {{kind: module}} in {file}, but it is not there; add it")


def file_of(module: str) -> Path:
    """Returns the source of ``module``; raises GlossaError if there is none."""
    file = _find(module)
    if file is None:
        wanted = Path(*module.split(".")).with_suffix(".py")
        raise GlossaError(f"expected the module {module} in {wanted}, but there is no such file; restore it from git")
    return file


def _find(module: str) -> Path | None:
    base = Path(*module.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def _imported(module: str) -> Iterator[str]:
    file = file_of(module)
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in _read(file).imports:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(f"{ROOT}."))
        else:
            source = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            if source == ROOT or source.startswith(f"{ROOT}."):
                yield source
                yield from (name for alias in node.names if _find(name := f"{source}.{alias.name}"))


def _data(source: Path) -> set[Path]:
    beside = {
        file
        for file in source.parent.iterdir()
        if file.is_file() and file.suffix not in (".py", ".pyc") and not file.name.startswith(".")
    }
    if source.name != "__init__.py":
        return {file for file in beside if file.name in _read(source).strings}
    modules = [_read(module) for module in source.parent.glob("*.py") if module != source]
    return {file for file in beside if not any(file.name in module.strings for module in modules)}


class _Source(NamedTuple):
    tree: ast.Module
    imports: list[ast.Import | ast.ImportFrom]
    strings: set[str]


def _read(file: Path) -> _Source:
    try:
        return _parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        raise GlossaError(f"{file} should be Python, but it can't be parsed: {error}") from None


@cache
def _parse(source: bytes, name: str) -> _Source:
    tree = ast.parse(source, name)
    nodes = list(_executed(tree))
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return _Source(tree, [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)], strings)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes below ``node``, without those that only type checkers see."""
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and "TYPE_CHECKING" in (getattr(node.test, "id", ""), getattr(node.test, "attr", "")):
        children = node.orelse
    for child in children:
        yield child
        yield from _executed(child)
