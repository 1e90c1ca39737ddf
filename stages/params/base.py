"""What all sections of params.yaml share: how they are read, and how a mistake in one is told."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from stages import given, paths
from stages.errors import GlossaError, nearest, said

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A part of params.yaml: no unknown keys, no silent conversions, never changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, value: Any) -> Any:
        return only_known(value, cls.model_fields)


def only_known(value: Any, known: Collection[str]) -> Any:
    """Returns ``value``; raises PydanticCustomError if it is a mapping with a key that is not among ``known``."""
    if isinstance(value, dict):
        for key in value:
            if key not in known:
                hint = nearest(str(key), known)
                raise PydanticCustomError("unknown_key", "has no key '{key}'; {hint}", {"key": str(key), "hint": hint})
    return value


def read_yaml(path: Path) -> Any:
    """Reads a YAML 1.2 file, as DVC does."""
    if not path.exists():
        raise GlossaError(f"expected {path} in {Path.cwd()}, but there is no such file; run Glossa in a clone of it")
    content = given.content(path, "a file of YAML", "correct it")
    try:
        return given.shallow(YAML(typ="safe", pure=True).load(content.decode()), given.MOST)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise GlossaError(
            f"{path} should be YAML, but it can't be read: {error.problem or error.context}{where}"
        ) from None
    except (YAMLError, ValueError, RecursionError) as error:
        why = given.limit(error) or said(error, whole=True)
        raise GlossaError(f"{path} should be YAML, but it can't be read: {why}") from None


def parse(section: type[S], value: Any, key: str, path: Path = paths.PARAMS) -> S:
    """Returns ``value``, found under ``key``, as a ``section``; raises GlossaError naming the first wrong key."""
    try:
        return section.model_validate(value)
    except ValidationError as error:
        raise GlossaError(f"{path}: {_describe(key, error)}") from None


def _describe(key: str, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = [part for part in (key, *(str(part) for part in first["loc"])) if part]
    found = repr(first["input"])
    found = found if len(found) <= 100 else f"{found[:99]}…"
    if place[-1:] == ["[key]"]:  # pydantic's name for a wrong key of a dict, which stands before it in the path
        return f"the name {'.'.join(place[:-1])} should be text, found {found}; put it in quotes"
    if place:
        tag = {"corpus": 1, "coders": 2}.get(place[0], len(place))  # where pydantic puts a union's tag into the path
        del place[tag : tag + 1]
    where = ".".join(place) or "the file"
    match first["type"]:
        case "unknown_key":
            return f"{where} {first['msg']}"
        case "missing":
            return f"{where} is missing; add it"
        case "union_tag_invalid" if place[0] == "coders":
            found = repr(first["input"]["kind"])
            return f"{where}.kind should be neurons or random, or left out for a coder with a path, found {found}"
        case "union_tag_invalid":
            return f"{where}.source should be one of {first['ctx']['expected_tags']}, found {first['ctx']['tag']!r}"
        case "union_tag_not_found":
            return f"{where}.source is missing; add it"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{where} should be a mapping of keys to values, found {found}"
        case "too_short":
            return f"{where} should not be empty; name at least one"
        case _:
            message = first["msg"].removeprefix("Input ")
            return f"{where} {message[0].lower() + message[1:]}, found {found}"
