"""Files of explanations that others wrote, by latent.

``delphi``: ``<hookpoint>_latent<i>.txt``, each a JSON string (EleutherAI/delphi, the folder explanations/ of its results).
``json``: an object {latent: text}, as the data of arXiv 2410.13928 were released. ``jsonl`` and ``csv``: a row for every
latent, with ``latent`` and ``explanation``; what else it holds is not read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from stages import given
from stages.cells import text_of
from stages.errors import GlossaError, said
from stages.outputs import file_sha256

UNPARSED = "Explanation could not be parsed."
"""What delphi writes where it finds no explanation in the answer of a model."""

LONG = 20
"""Digits of what is no number of a latent any more."""

BETWEEN, SUFFIX = "_latent", ".txt"


class Found(NamedTuple):
    """One explanation."""

    text: str | None
    """None where the file says null."""
    file: str
    """Relative to the folder."""
    sha256: str
    """Of the file."""


@dataclass(frozen=True)
class Source:
    """The explanations of one coder."""

    folder: Path
    places: dict[int, str]
    """By latent, the file that has its explanation."""
    texts: dict[int, str | None] | None
    """None where every file is read when it is asked for."""

    @cached_property
    def files(self) -> dict[str, str]:
        """The sha256 of every file."""
        return {name: file_sha256(self.folder / name) for name in sorted(set(self.places.values()))}

    def get(self, latent: int) -> Found | None:
        """Returns what there is of a latent; raises GlossaError if its file is damaged."""
        name = self.places.get(latent)
        if name is None:
            return None
        if self.texts is not None:
            return Found(self.texts[latent], name, self.files[name])
        path = self.folder / name
        return Found(_text(_json(_read(path, self.folder), path), str(path)), name, file_sha256(path))


def read(kind: str, path: str, name: str) -> Source:
    """Finds the explanations of what is called ``name`` in the folder ``path``.

    Raises:
        GlossaError: there are none, or the file is no such file.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise GlossaError(
            f"expected a folder of explanations at {path}, but there is none; correct the explainer's path"
        )
    given.stays(folder, "a folder of explanations", given.project(path))
    if kind == "delphi":
        return _delphi(folder, name)
    file = folder / name
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise GlossaError(f"expected a file {name} in {path}, but that is outside; correct the explainer's coders")
    content = _read(file, folder)
    texts: dict[int, str | None] = {}
    for place, latent, text in {"json": _object, "jsonl": _lines, "csv": _rows}[kind](content, file):
        number = latent if isinstance(latent, str) else str(latent) if type(latent) is int else ""
        if not (number.isascii() and number.isdecimal() and len(number) < LONG):
            raise GlossaError(f"{place} should name a latent, a number from 0 up, found {_shown(latent)}; correct it")
        if int(number) in texts:
            raise GlossaError(f"{place} has latent {int(number)} again; leave one of the two")
        texts[int(number)] = _text(text, place)
    if not texts:
        raise GlossaError(f"expected explanations in {file}, but there are none; correct the explainer's coders")
    return Source(folder, dict.fromkeys(texts, name), texts)


def _delphi(folder: Path, hookpoint: str) -> Source:
    begin = f"{hookpoint}{BETWEEN}"
    places, others = {}, set()
    for file in sorted(folder.iterdir()):
        number = file.name.removeprefix(begin).removesuffix(SUFFIX)
        if file.name == f"{begin}{number}{SUFFIX}" and number.isascii() and number.isdecimal():
            places[int(number)] = file.name
        elif BETWEEN in file.name:
            others.add(file.name.rpartition(BETWEEN)[0])
    if places:
        return Source(folder, places, None)
    inside = folder / "explanations"
    hint = f"it has those of {', '.join(sorted(others)[:5])}" if others else "it has none of any"
    hint = f"name {inside}, which it holds, as path" if inside.is_dir() else f"{hint}; correct the explainer's coders"
    raise GlossaError(f"expected files {begin}<number>{SUFFIX} in {folder}, but there are none: {hint}")


def _object(content: str, file: Path) -> Iterator[tuple[str, Any, Any]]:
    # Pairs, so that a latent that is there twice is noticed.
    pairs = _json(content, file, list)
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise GlossaError(f"expected a JSON object {{latent: explanation}} in {file}, found another value; correct it")
    yield from ((str(file), latent, text) for latent, text in pairs)


def _lines(content: str, file: Path) -> Iterator[tuple[str, Any, Any]]:
    for number, text in enumerate(content.split("\n"), 1):
        if text.strip():
            place = f"{file}, line {number},"
            yield _fields(_json(text, f"line {number} of {file}"), place)


def _rows(content: str, file: Path) -> Iterator[tuple[str, Any, Any]]:
    try:
        for row in (rows := csv.DictReader(io.StringIO(content), strict=True)):
            place, latent, text = _fields(row, f"{file}, line {rows.line_num},")
            yield place, latent, text_of(text) if isinstance(text, str) else text
    except csv.Error as error:
        raise GlossaError(f"expected CSV in {file}, but it can't be read ({said(error)}); correct it") from None


def _fields(row: Any, place: str) -> tuple[str, Any, Any]:
    if not isinstance(row, dict) or not {"latent", "explanation"} <= row.keys():
        raise GlossaError(f"{place} should have latent and explanation, found {_shown(row)}; correct it")
    return place, row["latent"], row["explanation"]


def _text(value: Any, place: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise GlossaError(f"expected an explanation as text in {place.rstrip(',')}, found {_shown(value)}; correct it")
    return value


def _read(file: Path, folder: Path) -> str:
    content = given.content(file, "a file of explanations", "correct the explainer's coders", folder)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GlossaError(f"expected UTF-8 in {file}, but byte {error.start} is none; convert it") from None


def _json(content: str, place: Path | str, pairs: type[list[Any]] | None = None) -> Any:
    try:
        return given.shallow(given.parsed(content, pairs))
    except ValueError as error:
        raise GlossaError(f"expected JSON in {place}, found {_shown(content)}: {error}; correct it") from None


def _shown(value: Any, most: int = 60) -> str:
    text = repr(sorted(value) if isinstance(value, dict) else value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
