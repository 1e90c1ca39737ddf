"""A Python file as the definitions it holds: what each is called, what it uses, and a hash of what it does.

Comments, docstrings, layout and the annotations that are never evaluated do not count. The hash is written here and not by
``ast.dump``, whose output differs between versions of Python.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import resolve_name

PLAIN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_params"})
"""Fields of syntax trees that decide nothing, or that only some versions of Python have."""


@dataclass(frozen=True)
class Definition:
    """Statements on the top level of a module that bind one or more names, or none."""

    names: tuple[str, ...]
    digest: str
    uses: frozenset[str]
    """Names that it loads, with the attributes that are asked of them: ``table.write``."""
    imports: dict[str, str]
    """What it imports when it is run: {name there: module, or ``module:name``}."""
    strings: frozenset[str]
    """Texts in it, among which are the names of the files that it opens."""
    runs: frozenset[str] | None
    """What is called when the module is imported, as decorators are; None if more is done than to bind names."""


@dataclass(frozen=True)
class Source:
    """What a module holds."""

    definitions: tuple[Definition, ...]
    imports: dict[str, str]
    """What it imports on its top level."""
    strings: frozenset[str]
    by_name: dict[str, list[Definition]] = field(repr=False)


def parse(text: bytes, module: str, is_package: bool) -> Source:
    """Returns what a module of this name holds; raises SyntaxError or ValueError if it is no Python."""
    package = module if is_package else module.rpartition(".")[0]
    imports: dict[str, str] = {}
    found: list[Definition] = []
    for statement in _statements(ast.parse(text).body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            imports.update(_imported(statement, package))
        else:
            found.append(_definition(statement, package))
    by_name: dict[str, list[Definition]] = {}
    for definition in found:
        for name in definition.names:
            by_name.setdefault(name, []).append(definition)
    strings = frozenset().union(*(definition.strings for definition in found))
    return Source(tuple(found), imports, strings, by_name)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that are executed on import, with those of ``else`` where only type checkers see the rest."""
    for statement in body:
        if isinstance(statement, ast.If) and _is_for_type_checkers(statement.test):
            yield from _statements(statement.orelse)
        elif not _is_text(statement):
            yield statement


def _is_for_type_checkers(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
        return
    module = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
    for alias in node.names:
        yield alias.asname or alias.name, f"{module}:{alias.name}"


def _definition(statement: ast.stmt, package: str) -> Definition:
    reader = _Reader(package)
    reader.read(statement)
    runs: frozenset[str] | None = None
    if isinstance(statement, PLAIN):
        called = [node.func if isinstance(node, ast.Call) else node for node in statement.decorator_list]
        runs = frozenset(map(_dotted, called))
    elif isinstance(statement, ast.Assign | ast.AnnAssign) and _is_plain(statement):
        runs = frozenset(_dotted(node.func) for node in ast.walk(statement) if isinstance(node, ast.Call))
    return Definition(
        (statement.name,) if isinstance(statement, PLAIN) else tuple(_bound(statement)),
        hashlib.sha256("\n".join(reader.written).encode("utf-8", "surrogatepass")).hexdigest(),
        frozenset(reader.uses),
        reader.imports,
        frozenset(reader.strings),
        runs,
    )


def _is_plain(statement: ast.Assign | ast.AnnAssign) -> bool:
    """Whether an assignment binds names and nothing else, such as an attribute of something."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return all(isinstance(node, ast.Name | ast.Tuple | ast.List) for target in targets for node in _targets(target))


def _targets(node: ast.expr) -> Iterator[ast.expr]:
    yield node
    for child in getattr(node, "elts", ()):
        yield from _targets(child)


def _bound(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, PLAIN):
            yield node.name


class _Reader:
    """Writes a statement down in one spelling, and notes on the way what it uses."""

    def __init__(self, package: str):
        self.written: list[str] = []
        self.uses: set[str] = set()
        self.imports: dict[str, str] = {}
        self.strings: set[str] = set()
        self._package = package

    def read(self, node: ast.AST, in_function: bool = False) -> None:
        """Reads ``node`` and what lies below it."""
        self.written.append(type(node).__name__)
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.imports.update(_imported(node, self._package))
        elif isinstance(node, ast.Constant):
            self.written.append(repr(node.value))
            if isinstance(node.value, str):
                self.strings.add(node.value)
            return
        elif dotted := _dotted(node):
            self.uses.add(dotted)
            self.written.append(dotted)
            return
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for name, value in ast.iter_fields(node):
            if name in SKIPPED or value is None or value == [] or self._is_unread(node, name, in_function):
                continue
            self.written.append(f"{name}:")
            if isinstance(value, list):
                for one in value:
                    if not _is_text(one):
                        self._value(one, inside)
                self.written.append("]")
            else:
                self._value(value, inside)
        self.written.append(")")

    def _value(self, value: object, in_function: bool) -> None:
        if isinstance(value, ast.AST):
            self.read(value, in_function)
        else:
            self.written.append(repr(value))

    @staticmethod
    def _is_unread(node: ast.AST, name: str, in_function: bool) -> bool:
        """Whether a field is an annotation that nobody evaluates: of a function's arguments or of its own variables."""
        if name == "returns":
            return True
        return name == "annotation" and (isinstance(node, ast.arg) or in_function)


def _dotted(node: ast.AST) -> str:
    """``a.b.c`` of such an expression; nothing of another."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""
