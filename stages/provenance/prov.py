"""A chain as W3C PROV-JSON (https://www.w3.org/submissions/prov-json/): things are entities, stages are activities.

What was checked stands beside an attribute: ``glossa:key.status`` is ``ok``, ``differs`` or ``unchecked``, ``glossa:key.said``
by what, how or why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from stages import __version__
from stages.outputs import fingerprint
from stages.provenance.node import Fact, Node

PREFIX = {"glossa": "https://glossa.invalid/ns#", "prov": "http://www.w3.org/ns/prov#"}
PLANS = ("params", "code")
"""Kinds that a stage used, and no thing was made from."""


def document(roots: Iterable[Node]) -> dict[str, Any]:
    """Returns the document of some chains; what they have in common is in it once."""
    found: dict[str, Any] = {"prefix": PREFIX, "entity": {}, "activity": {}, "agent": {}}
    relations: dict[str, dict[str, dict[str, str]]] = {
        "wasGeneratedBy": {},
        "used": {},
        "wasDerivedFrom": {},
        "wasAssociatedWith": {},
    }
    agent = "glossa:glossa"
    found["agent"][agent] = {"prov:type": _name("prov:SoftwareAgent"), "glossa:version": __version__}
    for root in roots:
        for node in root.walk():
            entity = _id(node.kind, node.name)
            found["entity"][entity] = {"prov:type": _name(f"glossa:{_word(node.kind)}"), "prov:label": node.name} | {
                key: value for fact in node.facts for key, value in _attributes(fact).items()
            }
            if node.stage is not None:
                activity = _id("stage", node.stage)
                found["activity"][activity] = {"prov:label": node.stage}
                _relate(relations, "wasAssociatedWith", activity=activity, agent=agent)
                if node.kind not in PLANS:
                    _relate(relations, "wasGeneratedBy", entity=entity, activity=activity)
            for source in node.sources:
                other = _id(source.kind, source.name)
                if node.stage is not None and source.stage != node.stage:
                    _relate(relations, "used", activity=_id("stage", node.stage), entity=other)
                if source.kind not in PLANS:
                    _relate(relations, "wasDerivedFrom", generatedEntity=entity, usedEntity=other)
    return found | {name: of_kind for name, of_kind in relations.items() if of_kind}


def _relate(relations: dict[str, dict[str, dict[str, str]]], name: str, **ends: str) -> None:
    inside = {f"prov:{key}": value for key, value in ends.items()}
    relations[name][f"_:{name}{fingerprint(inside)[:16]}"] = inside


def _attributes(fact: Fact) -> dict[str, Any]:
    key = f"glossa:{_word(fact.name)}"
    value = fact.value if isinstance(fact.value, str | int | float | bool) else str(fact.value)
    found: dict[str, Any] = {key: value}
    if fact.status is not None:
        found |= {f"{key}.status": fact.status, f"{key}.said": fact.said}
    return found


def _id(kind: str, name: str) -> str:
    """A qualified name; what it may not hold becomes a dash, and the hash keeps such names apart."""
    return f"glossa:{_word(kind)}/{_word(name)}-{fingerprint([kind, name])[:8]}"


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.") or "it"


def _name(name: str) -> dict[str, str]:
    return {"$": name, "type": "prov:QUALIFIED_NAME"}
