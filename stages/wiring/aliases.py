"""YAML aliases of params.yaml that stand for a model: its name says the same, and DVC does not lose it.

``dvc exp run -S models.judge.model=x`` writes what it is told under ``models``, and then what the entries with an alias said before over
it, as both are one object to it. So the experiment runs nothing, and says nothing. An entry that names its model is not written over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from stages import params, paths
from stages.outputs import write_text

ENTRIES = ("explainers", "scorers")
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names that stand in YAML without quotes, but for a few words."""


class Place(NamedTuple):
    """Where something begins and ends in a text, and under which keys it stands."""

    keys: tuple[str, ...]
    begin: int
    end: int
    anchor: str | None


def named(text: str) -> tuple[str, int]:
    """Returns params.yaml with the names of models for their aliases, and how many there were.

    An anchor stays if another alias, such as one that is merged into a mapping, goes by it; nothing else changes by a byte.
    """
    anchors: dict[str, Place] = {}
    aliases: list[Place] = []
    for place, is_alias in _places(text):
        if is_alias:
            aliases.append(place)
        elif place.anchor is not None:
            anchors[place.anchor] = place
    edits: list[tuple[int, int, str]] = []
    kept: set[str | None] = set()
    for alias in aliases:
        model = anchors.get(alias.anchor or "")
        is_entry = len(alias.keys) == 3 and alias.keys[0] in ENTRIES and alias.keys[2] in params.MODELS
        if is_entry and model is not None and len(model.keys) == 2 and model.keys[0] == "models":
            edits.append((alias.begin, alias.end, _quoted(model.keys[1])))
        else:
            kept.add(alias.anchor)
    n = len(edits)
    gone = {alias.anchor for alias in aliases} - kept
    for name, model in anchors.items():
        if name in gone and (found := re.compile(rf"&{re.escape(name)}\s+").match(text, model.begin)):
            edits.append((model.begin, found.end() if "\n" not in found[0] else model.begin + len(name) + 1, ""))
    for begin, end, new in sorted(edits, reverse=True):
        text = text[:begin] + new + text[end:]
    return text, n


def write_names(path: Path = paths.PARAMS) -> int:
    """Writes the names of models for their aliases into params.yaml, if that says the same, and returns how many there were."""
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    new, n = named(text)
    if not n:
        return 0
    tried = path.with_name(f".{path.name}.named")
    try:
        tried.write_bytes(new.encode())
        is_same = params.load(tried) == params.load(path)
    finally:
        tried.unlink(missing_ok=True)
    if is_same:
        write_text(path, new)
    return n if is_same else 0


def _places(text: str) -> Iterator[tuple[Place, bool]]:
    """Every mapping and every alias, and whether it is one."""
    keys: list[str | None] = []  # of every mapping that is open, the key whose value comes next; None where a key does
    is_mapping: list[bool] = []
    for event in YAML(typ="safe", pure=True).parse(text):
        here = tuple(key for key in keys if key is not None)
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            if isinstance(event, MappingStartEvent):
                yield Place(here, event.start_mark.index, event.end_mark.index, event.anchor), False
            keys.append(None if isinstance(event, MappingStartEvent) else "-")
            is_mapping.append(isinstance(event, MappingStartEvent))
            continue
        if isinstance(event, MappingEndEvent | SequenceEndEvent):
            keys.pop()
            is_mapping.pop()
        elif isinstance(event, AliasEvent):
            yield Place(here, event.start_mark.index, event.end_mark.index, event.anchor), True
        elif isinstance(event, ScalarEvent) and is_mapping and is_mapping[-1] and keys[-1] is None:
            keys[-1] = event.value
            continue
        elif not isinstance(event, ScalarEvent):
            continue
        if is_mapping and is_mapping[-1]:
            keys[-1] = None


def _quoted(name: str) -> str:
    is_plain = PLAIN.fullmatch(name) and YAML(typ="safe", pure=True).load(name) == name
    return name if is_plain else json.dumps(name, ensure_ascii=False)
