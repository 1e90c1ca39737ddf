"""The text of a row of data: a field of it, or one inside another, such as ``data.text``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stages.errors import GlossaError, nearest


def text(row: Any, field: str, where: str) -> str:
    """Returns the text in ``field`` of a row, an empty one if the row has none there (null); ``where`` begins the sentence of a mistake.

    A field of that very name counts, or one of that name inside others that dots part.

    Raises:
        GlossaError: there is no such field, or something else in it.
    """
    found, part = row, field
    while not (isinstance(found, Mapping) and part in found):
        outer, dot, inner = part.partition(".")
        if not dot or not isinstance(found, Mapping) or outer not in found:
            known = sorted(map(str, found)) if isinstance(found, Mapping) else ()
            raise GlossaError(f"{where} has no field {field}; {nearest(part if found is row else outer, known)}")
        found, part = found[outer], inner
        if found is None:
            return ""
    if not isinstance(found[part], str | None):
        raise GlossaError(f"{where} should have a string in {field}, found {type(found[part]).__name__}")
    return found[part] or ""
