"""fingerprints.json: for every stage a hash of the code that it can execute and one of the values of params.yaml that it reads.

DVC runs a stage again when its fingerprint changed. What can't change a result has no part in one: comments, layout, code of other
stages and units, runtime.yaml, the command line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel

from stages import gguf, paths, plan, registry
from stages.errors import GlossaError
from stages.outputs import fingerprint, write_text
from stages.params import Coder, Params
from stages.wiring import reach

READS = "READS"
"""What a stage or a unit calls the tuple of dotted keys of params.yaml that it reads beside its own entry."""

LENGTH = 16
"""Hexadecimal digits of each hash that are kept."""

NAMED = ("coders", "explainers", "scorers")
"""Sections in which the order of names counts, as results are listed in it."""


class Part(NamedTuple):
    """What decides the result of a stage, beside what other stages made."""

    starts: tuple[str, ...]
    """Where its code starts, as ``reach.reached`` takes it."""
    values: dict[str, Any]
    """Of params.yaml, defaults and the descriptions of models included."""

    @property
    def code(self) -> str:
        """The hash of its code."""
        return _code(self.starts)

    def __str__(self) -> str:
        return f"code {self.code} params {hash_of(self.values)}"


def hash_of(values: Mapping[str, Any]) -> str:
    """Returns the hash of values of params.yaml."""
    return fingerprint(values)[:LENGTH]


def keys(p: Params) -> Iterator[str]:
    """Yields the dotted keys of all fingerprints in the order in which stages run; those of coders are ``coders.<name>.…``."""
    yield "tokenize"
    for coder in p.coders:
        names = [
            "cache",
            "sample",
            *(f"explain.{name}" for name in p.explainers),
            *(f"score.{name}" for name in p.scorers),
        ]
        yield from (f"coders.{coder}.{name}" for name in names)
    yield "compare"
    yield "report"


def part(p: Params, key: str) -> Part:
    """Returns what decides the stage that ``key`` is the fingerprint of.

    Raises:
        GlossaError: an entry names a unit or provider that is unknown, or code is missing or can't be parsed.
    """
    match key.split("."):
        case ["coders", coder, "cache"]:
            return _part("cache", _readers(p, [coder]), _cached(p, coder))
        case ["coders", _, "sample"]:
            kinds = plan.kinds_of_negatives(p.sampling)
            units = [registry.NEGATIVES[kind] for kind in kinds]
            return _part("sample", units, _values(p, _reads("stages.sample")) | {"negatives": kinds})
        case ["coders", coder, "explain", name]:
            return _of_entry(p, coder, "explain", "explainers", name)
        case ["coders", coder, "score", name]:
            return _of_entry(p, coder, "score", "scorers", name)
        case ["compare"]:
            values, units = _values(p, _reads("stages.compare")), _readers(p, p.coders)
            if not p.compare.ceiling:  # what explainers said is read, and none is run
                return _part("compare", units, values | {"explainers": list(p.explainers)})
            units += [module for name, entry in p.explainers.items() for module in _unit("explainers", entry, name)]
            return _part("compare", units, values)
        case [stage]:
            return _part(stage, [], _values(p, _reads(f"stages.{stage}")))
    raise ValueError(key)


def current(p: Params) -> dict[str, str]:
    """Returns the fingerprints of all stages, by dotted keys; see ``part``."""
    return {key: str(part(p, key)) for key in keys(p)}


def refresh(p: Params) -> tuple[dict[str, str], dict[str, str]]:
    """Writes fingerprints.json if it should change; returns what it said and says, by dotted keys."""
    old, new = read(), current(p)
    if list(old.items()) != list(new.items()):
        write_text(paths.FINGERPRINTS, json.dumps(_tree(new), indent=1) + "\n")
    return old, new


def read() -> dict[str, str]:
    """Returns what fingerprints.json says, by dotted keys; nothing if it is missing or damaged, as it can be made anew."""
    try:
        return _flat(json.loads(paths.FINGERPRINTS.read_bytes()))
    except (FileNotFoundError, ValueError, AttributeError):
        return {}


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Returns the dotted keys that are new or say something else, in their order."""
    return [key for key, value in new.items() if old.get(key) != value]


def _tree(flat: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *above, name = key.split(".")
        place = tree
        for part_of_key in above:
            place = place.setdefault(part_of_key, {})
        place[name] = value
    return tree


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": str(value)}
    return found


def _cached(p: Params, coder: str) -> dict[str, Any]:
    values = {"subject": plan.subject_of(p, coder), "coder": p.coders[coder], "cache": p.cache}
    return {"seed": p.seed, **{name: _plain(name, section) for name, section in values.items()}}


def _readers(p: Params, coders: Iterable[str]) -> list[str]:
    """The readers that coders may need: the one of its format, or all where params.yaml does not name it."""
    found: set[str] = set()
    for name in coders:
        entry = p.coders[name]
        if isinstance(entry, Coder):
            known, key = registry.READERS, f"coders.{name}.format"
            found |= set(known.values()) if entry.format is None else {registry.module_of(known, entry.format, key)}
    return sorted(found)


def _of_entry(p: Params, coder: str, stage: str, section: str, name: str) -> Part:
    entry = getattr(p, section)[name]
    units = _unit(section, entry, name)
    reads = _reads(units[0])
    values = {"seed": p.seed, "entry": entry, **_values(p, [key for key in reads if key != "coders"])}
    if "coders" in reads:  # it loads this coder anew
        values |= _cached(p, coder)
        units += _readers(p, [coder])
    return _part(stage, units, values)


def _unit(section: str, entry: Mapping[str, Any], name: str) -> list[str]:
    """The modules that an entry loads by name: its unit, and the provider of every model that it describes."""
    units = registry.EXPLAINERS if section == "explainers" else registry.SCORERS
    found = [registry.module_of(units, entry["kind"], f"{section}.{name}.kind")]
    for key, model in entry.items():
        if isinstance(model, dict) and "provider" in model:
            provider = model["provider"]
            found.append(registry.module_of(registry.PROVIDERS, provider, f"{section}.{name}.{key}.provider"))
    return found


def _part(stage: str, units: Iterable[str], values: dict[str, Any]) -> Part:
    if packaged := {name: _file(name) for name in sorted(set(gguf.addresses(values)))}:
        values = {**values, "packages": packaged}
    return Part((f"stages.{stage}:command", *units), values)


def _file(model: str) -> str | None:
    """The hash of the file of a model, on which DVC can't depend; None where it is not installed, which its own stage will say."""
    try:
        file = gguf.find(model)
    except GlossaError:
        return None
    return None if file is None else gguf.sha256(file)


@cache
def _reads(module: str) -> tuple[str, ...]:
    return reach.literal(module, READS)


def _values(p: Params, reads: Iterable[str]) -> dict[str, Any]:
    found = {}
    for key in reads:
        value: Any = p
        for part_of_key in key.split("."):
            value = getattr(value, part_of_key)
        found[key] = _plain(key, value)
    return found


def _plain(key: str, value: Any) -> Any:
    if key in NAMED:
        return [[name, _plain("", entry)] for name, entry in value.items()]
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


@cache
def _code(starts: tuple[str, ...]) -> str:
    return reach.digest(reach.reached(starts))[:LENGTH]
