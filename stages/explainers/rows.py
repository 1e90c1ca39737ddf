"""Files in which people's answers are kept: JSON Lines, a row for every answer, each tied to what its author was shown.

Rows are appended and never changed. Every row has ``schema``, ``version`` and the fields of ``Seen``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stages import given
from stages.errors import GlossaError

SEEN: dict[str, tuple[type, ...]] = {
    "coder": (str,),
    "coder_sha256": (str,),
    "latent": (int,),
    "windows": (int,),
    "windows_sha256": (str,),
    "explanation": (str,),
    "by": (str, type(None)),
}
"""What rows of every schema have, and of which type."""


class Row(NamedTuple):
    """An answer, and what its author was shown."""

    coder: str
    """Its name, when it was shown."""
    coder_sha256: str
    """The hash of its weights and of how they are read, as the examples' meta.json has it."""
    latent: int
    windows: int
    """How many train windows were asked for (``seen.places``)."""
    windows_sha256: str
    """Of the train windows that were shown (``seen.sha256``)."""
    explanation: str
    """What was written, or what was rated."""
    by: str | None
    """Who answered, if that is told."""
    rating: int | None
    """None where an explanation was written."""
    sha256: str
    """Of the line."""


def is_of(row: Row, coder: str, sha256: str, coders: Collection[str]) -> bool:
    """Whether a row is of the coder with this name and hash: it has the hash, and its name or one that none of the ``coders`` has.

    A coder may have got another name, and two may have the same weights on different subjects.
    """
    return row.coder_sha256 == sha256 and (row.coder == coder or row.coder not in coders)


def read(path: Path, schema: str, version: int, rating: range | None = None, inside: Path | None = None) -> list[Row]:
    """Returns the rows of a file in their order; rows have a ``rating`` if there is a range for it.

    Raises:
        GlossaError: there is no such file, a link leads from there out of ``inside``, or a line of it is no row of this schema and version.
    """
    content = given.content(path, f"a file of {schema}", "correct the path", inside)
    return [_row(line, place, schema, version, rating) for place, line in _lines(content, path)]


def _lines(content: bytes, path: Path) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            yield f"line {number} of {path}", line.strip()


def _row(line: bytes, place: str, schema: str, version: int, rating: range | None) -> Row:
    try:
        found = given.shallow(given.parsed(line))
    except ValueError as error:  # of JSON and of UTF-8
        raise GlossaError(f"expected a row of {schema} in {place}, but {error}; correct or delete it") from None
    of = (found.get("schema"), found.get("version")) if isinstance(found, Mapping) else ("another value", None)
    if of != (schema, version):
        raise GlossaError(
            f"expected a row of {schema} version {version} in {place}, found {_told(*of)}; name another file"
        )
    fields = SEEN | ({} if rating is None else {"rating": (int,)})
    for name, types in fields.items():
        value = found.get(name)
        is_right = isinstance(value, types) and not isinstance(value, bool) and name in found
        least = {"latent": 0, "windows": 1}.get(name)
        if not is_right or (least is not None and value < least) or (name == "rating" and value not in (rating or ())):
            raise GlossaError(f"expected {_due(name, rating)} in {place}, found {_shown(found, name)}; correct it")
    return Row(**{name: found[name] for name in SEEN}, rating=found.get("rating"), sha256=_sha256(line))


def _told(schema: Any, version: Any) -> str:
    return f"{schema} version {version}" if version is not None else str(schema or "a row without a schema")


def _due(name: str, rating: range | None) -> str:
    if name == "rating" and rating is not None:
        return f"a rating from {rating[0]} to {rating[-1]}"
    return f"{name}, {'a number' if SEEN[name] == (int,) else 'a text'},"


def _shown(found: Mapping[str, Any], name: str) -> str:
    return repr(found[name])[:60] if name in found else "none"


def _sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def line_hashes(path: Path) -> set[str]:
    """Returns the sha256 of every line of a file, whatever is in them."""
    return {_sha256(line) for _, line in _lines(path.read_bytes(), path)}
