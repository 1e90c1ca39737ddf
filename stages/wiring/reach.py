"""What a stage can execute: the definitions it reaches from where it starts, read from the source, without importing any of it.

Names are followed one by one: ``table.write`` counts one function of a module, not the module. Where a name is followed no further,
because a module itself is handed on, all that the module holds counts. Of what is reached too much may count, never too little;
tests compare it with what stages really execute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import stages
from stages import registry
from stages.errors import GlossaError
from stages.outputs import file_sha256
from stages.wiring.source import Definition, Source, parse

ROOT = "stages"
FOLDER = Path(stages.__file__).parent

LEFT_OUT = ("cli", "__main__", "commands", "given", "machine", "params", "registry", "wiring")
"""Of this package; with what lies below them. They start stages, decide how fast and where they run, or say which values and units
they get, and fingerprints hold those values and name those units; or they refuse what can't be read."""


class Reached(NamedTuple):
    """A definition, or a file that is no Python, and its hash."""

    place: str
    """``stages/scorers/metrics.py:figure``, or a path."""
    digest: str


def reached(starts: Iterable[str]) -> frozenset[Reached]:
    """Returns everything that ``starts`` reach: modules, all of them, or ``module:name``, a definition.

    Raises:
        GlossaError: a module is missing, holds no such definition, or can't be parsed.
    """
    walk = _Walk()
    for start in starts:
        module, _, name = start.partition(":")
        held = source(module)  # which says so where it is missing
        if name and name not in held.by_name:
            raise GlossaError(f"expected {name} in {_shown(module)}, but it is not there; {_remedy(module)}")
        walk.reach(module, name)
    walk.go()
    return frozenset(walk.found())


def digest(parts: Iterable[Reached]) -> str:
    """Returns one hash of all parts, in hex."""
    lines = sorted(f"{part.place} {part.digest}" for part in parts)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def packages(modules: Iterable[str]) -> list[Path]:
    """Returns the folders of the packages that hold ``modules`` of units."""
    heads = sorted({module.partition(".")[0] for module in modules})
    return [FOLDER if head == ROOT else _others()[head] for head in heads if _counts(head)]


def literal(module: str, name: str) -> tuple[str, ...]:
    """Returns the tuple of texts that a module assigns to ``name``, empty if it does not, without importing it."""
    definitions = source(module).by_name.get(name, [])
    return tuple(sorted(text for definition in definitions for text in definition.strings))


@cache
def source(module: str) -> Source:
    """Returns what a module that counts holds.

    Raises:
        GlossaError: it is missing, or can't be parsed.
    """
    file = _file(module)
    if file is None:
        wanted = Path(*module.split(".")).with_suffix(".py")
        raise GlossaError(f"expected the module {module} in {wanted}, but there is no such file; {_remedy(module)}")
    try:
        return parse(file.read_bytes(), module, file.name == "__init__.py")
    except (SyntaxError, ValueError) as error:
        raise GlossaError(f"{_shown(module)} should be Python, but it can't be parsed: {error}") from None


def _remedy(module: str) -> str:
    return "restore it from git" if module.startswith(f"{ROOT}.") else "install its package again, or another version"


@cache
def _others() -> dict[str, Path]:
    """{name: folder} of the other packages whose code counts, as units come from them."""
    heads = {module.partition(".")[0] for units in registry.GROUPS.values() for module in units.values()}
    found = {}
    for head in sorted(heads - {ROOT}):
        spec = find_spec(head)  # imports nothing, as it has no dot
        if spec is not None and spec.submodule_search_locations:
            found[head] = Path(next(iter(spec.submodule_search_locations)))
    return found


def _counts(module: str) -> bool:
    """Whether a module, or ``module:name``, is of a package whose code counts."""
    head = module.partition(":")[0].partition(".")[0]
    return head == ROOT or head in _others()


@cache
def _file(module: str) -> Path | None:
    head, *rest = module.split(".")
    if not _counts(head):
        return None
    base = (FOLDER if head == ROOT else _others()[head]).joinpath(*rest)
    candidates = [base / "__init__.py"] if not rest else [base.with_suffix(".py"), base / "__init__.py"]
    return next((file for file in candidates if file.is_file()), None)


def _shown(module: str) -> str:
    file = _file(module)
    return module if file is None else _name(file)


def _name(file: Path) -> str:
    """A file by its place in its package, ``stages/scorers/detection.md``."""
    root = next(root for root in (FOLDER, *_others().values()) if file.is_relative_to(root))
    return file.relative_to(root.parent).as_posix()


@cache
def _is_left_out(module: str) -> bool:
    head, *rest = module.split(".")
    return head == ROOT and (not rest or rest[0] in LEFT_OUT)


class _Walk:
    def __init__(self) -> None:
        self._queue: list[tuple[str, Definition]] = []
        self._done: set[tuple[str, int]] = set()
        self._loaded: set[str] = set()
        self._definitions: list[tuple[str, Definition]] = []
        self._folders: dict[Path, set[str]] = {}

    def reach(self, module: str, name: str = "") -> None:
        """Notes a definition of a module, or all of them."""
        self._load(module)
        if _is_left_out(module):
            return
        file = _file(module)
        assert file is not None
        self._folders.setdefault(file.parent, set())
        for definition in source(module).by_name[name] if name else source(module).definitions:
            self._add(module, definition)

    def go(self) -> None:
        """Follows what is noted until nothing new comes."""
        while self._queue:
            module, definition = self._queue.pop()
            imports = source(module).imports | definition.imports
            for target in definition.imports.values():
                self._load_target(target)
            for dotted in definition.uses:
                head, *rest = dotted.split(".")
                if head in imports:
                    self._follow(imports[head], rest)
                elif head in source(module).by_name:
                    self.reach(module, head)

    def found(self) -> Iterator[Reached]:
        """What was reached: definitions, and the files that they name."""
        for module, definition in self._definitions:
            names = ", ".join(definition.names) or definition.digest[:12]
            yield Reached(f"{_shown(module)}:{names}", definition.digest)
            file = _file(module)
            assert file is not None
            self._folders.setdefault(file.parent, set()).update(definition.strings)
        for folder, strings in self._folders.items():
            for file in _beside(folder):
                if file.name in strings or file.name not in _named(folder):
                    yield Reached(_name(file), _sha256(file))

    def _add(self, module: str, definition: Definition) -> None:
        key = module, id(definition)
        if key not in self._done:
            self._done.add(key)
            self._definitions.append((module, definition))
            self._queue.append((module, definition))

    def _follow(self, target: str, rest: list[str]) -> None:
        """Follows ``rest``, attributes, from what an import names."""
        module, _, name = target.partition(":")
        if not _counts(module):
            return
        names = [name, *rest] if name else rest
        for place, attribute in enumerate(names):
            held = source(module) if _file(module) else None
            if held is not None and attribute in held.by_name:
                self.reach(module, attribute)
                return
            if held is not None and held.imports.get(attribute, itself := f"{module}:{attribute}") != itself:
                self._load(module)
                self._follow(held.imports[attribute], names[place + 1 :])
                return
            if _file(f"{module}.{attribute}") is None:
                break
            module = f"{module}.{attribute}"
        if _file(module) is not None:
            self.reach(module)

    def _load_target(self, target: str) -> None:
        module, _, name = target.partition(":")
        if _counts(module):
            self._load(f"{module}.{name}" if name and _file(f"{module}.{name}") else module)

    def _load(self, module: str) -> None:
        """Notes that a module is imported: so are those that it imports, and what runs in them then counts."""
        queue = [module]
        while queue:
            name = queue.pop()
            if name in self._loaded or _file(name) is None:
                continue
            self._loaded.add(name)
            if "." in name:
                queue.append(name.rpartition(".")[0])
            if _is_left_out(name) and name != ROOT:
                continue
            held = source(name)
            for target in held.imports.values():
                module, _, attribute = target.partition(":")
                if _counts(module):
                    queue.append(f"{module}.{attribute}" if attribute and _file(f"{module}.{attribute}") else module)
            for definition in held.definitions if name != ROOT else ():
                if definition.runs is None or any(map(partial(self._is_ours, held), definition.runs)):
                    self._add(name, definition)

    @staticmethod
    def _is_ours(held: Source, dotted: str) -> bool:
        head = dotted.partition(".")[0]
        return head in held.by_name or _counts(held.imports.get(head, ""))


@cache
def _beside(folder: Path) -> list[Path]:
    """The files in a folder that are no Python, such as prompts and templates."""
    files = (file for file in sorted(folder.iterdir()) if file.is_file() and file.suffix not in (".py", ".pyc"))
    return [file for file in files if not file.name.startswith(".")]


@cache
def _named(folder: Path) -> frozenset[str]:
    """Texts in the modules of a folder; a file that none of them names counts with all."""
    package = _name(folder).replace("/", ".")
    modules = (f"{package}.{file.stem}" for file in folder.glob("*.py") if file.stem != "__init__")
    return frozenset().union(*(source(module).strings for module in modules))


@cache
def _sha256(file: Path) -> str:
    return file_sha256(file)
