"""What a row of data holds: a field of it, or one inside another, such as ``data.text``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stages.errors import GlossaError, nearest


def text(row: Any, field: str, where: str) -> str:
    """Returns the text in ``field`` of a row, an empty one if the row has none there (null); ``where`` begins the sentence of a mistake.

    Raises:
        GlossaError: there is no such field, or something else in it.
    """
    found = value(row, field, where)
    if not isinstance(found, str | None):
        is_chat = isinstance(found, list) and found and isinstance(found[0], Mapping)
        hint = "; a conversation is read with corpus.chat: true" if is_chat else ""
        raise GlossaError(f"{where} should have a string in {field}, found {type(found).__name__}{hint}")
    return found or ""


def value(row: Any, field: str, where: str) -> Any:
    """Returns what is in ``field`` of a row, None if the row has nothing there (null); ``where`` begins the sentence of a mistake.

    A field of that very name counts, or one of that name inside others that dots part.

    Raises:
        GlossaError: there is no such field.
    """
    found, part = row, field
    while not (isinstance(found, Mapping) and part in found):
        outer, dot, inner = part.partition(".")
        if not dot or not isinstance(found, Mapping) or outer not in found:
            known = sorted(map(str, found)) if isinstance(found, Mapping) else ()
            raise GlossaError(f"{where} has no field {field}; {nearest(part if found is row else outer, known)}")
        found, part = found[outer], inner
        if found is None:
            return None
    return found[part]
