"""The docstrings of installed packages as a corpus: real prose that lies on every machine with the same pins."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path, PurePosixPath

from stages.corpus.document import Document
from stages.errors import GlossaError

MIN_CHARACTERS = 80
"""Shorter docstrings ("See base class.") carry no prose."""

HELD_OUT_SHARE = 10
"""One file in ten belongs to the held-out split."""

BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
"""Where statements hold statements, and so definitions, in the order of a file."""


def read(packages: Sequence[str], split: str, constraints: Path) -> Iterator[Document]:
    """Yields the distinct docstrings of ``packages`` in a fixed order.

    ``split`` is ``train``, ``held-out`` or ``all``. A file belongs to one split by a hash of its path, and a text that
    occurs in both counts as held out, so that no held-out text was ever trained on.

    Raises:
        GlossaError: a package is not installed, not pinned in ``constraints``, or installed in another version.
    """
    pins = read_pins(constraints)
    for package in packages:
        check_version(package, pins, constraints)
    seen: set[bytes] = set()
    if split == "train":
        held_out = (document for document in _docstrings(packages, held_out=True))
        seen.update(_digest(document.text) for document in held_out)
    for document in _docstrings(packages, held_out={"train": False, "held-out": True, "all": None}[split]):
        digest = _digest(document.text)
        if digest not in seen:
            seen.add(digest)
            yield document


def read_pins(constraints: Path) -> dict[str, str]:
    """Returns ``{normalised package name: version}`` of the ``name==version`` lines of a constraints file."""
    if not constraints.is_file():
        raise GlossaError(f"expected the pinned versions in {constraints}, but there is no such file")
    pins = {}
    for line in constraints.read_text(encoding="utf-8").splitlines():
        name, found, version = line.split("#")[0].partition("==")
        if found:
            pins[_normalise(name)] = version.split(";")[0].strip()
    return pins


def check_version(package: str, pins: dict[str, str], constraints: Path) -> None:
    """Raises GlossaError unless ``package`` is installed in exactly its pinned version (local labels aside)."""
    pin = pins.get(_normalise(package))
    if pin is None:
        raise GlossaError(
            f"corpus.packages names {package}, which {constraints.name} does not pin; "
            f"add a line '{package}==VERSION' or drop the package"
        )
    try:
        installed = metadata.version(package)
    except metadata.PackageNotFoundError:
        raise GlossaError(
            f"corpus.packages names {package}, which is not installed; run pip install -c {constraints.name} {package}"
        ) from None
    if installed.split("+")[0] != pin.split("+")[0]:
        raise GlossaError(
            f"expected {package} {pin} as pinned in {constraints.name}, but {installed} is installed; "
            f"the corpus would differ, so run pip install -c {constraints.name} {package}=={pin}"
        )


def _docstrings(packages: Sequence[str], *, held_out: bool | None) -> Iterator[Document]:
    for package in packages:
        files = metadata.distribution(package).files or []
        for file in sorted(files, key=lambda file: file.as_posix()):
            path = PurePosixPath(file.as_posix())
            if path.suffix != ".py" or ".." in path.parts:
                continue
            if held_out is not None and is_held_out(path) != held_out:
                continue
            yield from _docstrings_of_file(path, Path(str(file.locate())))


def is_held_out(path: PurePosixPath) -> bool:
    """Whether the file at ``path``, relative to site-packages, belongs to the held-out split."""
    digest = hashlib.sha256(path.as_posix().encode()).digest()
    return int.from_bytes(digest[:4], "big") % HELD_OUT_SHARE == 0


def _docstrings_of_file(path: PurePosixPath, location: Path) -> Iterator[Document]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(location.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # templates and files for another Python hold no docstrings of this one
    stack: list[tuple[str, ast.AST]] = [("", tree)]
    while stack:
        name, node = stack.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and len(text) >= MIN_CHARACTERS:
                yield Document(f"{path}::{name}" if name else str(path), text)
        children = []
        for child in (child for block in BLOCKS for child in getattr(node, block, ())):
            label = getattr(child, "name", None)
            is_definition = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            children.append((f"{name}.{label}".lstrip(".") if is_definition else name, child))
        stack.extend(reversed(children))


def _normalise(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(".", "-")


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
