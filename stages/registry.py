"""The units there are: a line for each, by the name that params.yaml or the command line uses.

Those of other packages are found by their entry points, ``glossa.readers`` and so on, whose values are names of modules as here.
Nothing is imported before it is asked for. No fingerprint covers this file: of a unit the file counts that the line names, so a
new line reruns nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from inspect import get_annotations
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from stages.errors import GlossaError, nearest

T = TypeVar("T")

ADD = "see CONTRIBUTING.md; add what is missing"

READERS = {
    "sparsify": "stages.coders.readers.sparsify",
    "saelens": "stages.coders.readers.saelens",
    "saelens_old": "stages.coders.readers.saelens_old",
    "gemma_scope": "stages.coders.readers.gemma_scope",
    "gemma_scope_2": "stages.coders.readers.gemma_scope_2",
    "openai": "stages.coders.readers.openai",
    "dictionary_learning": "stages.coders.readers.dictionary_learning",
    "llama_scope": "stages.coders.readers.llama_scope",
    "llamascopium": "stages.coders.readers.llamascopium",
    "circuit_tracer": "stages.coders.readers.circuit_tracer",
    "qwen_scope": "stages.coders.readers.qwen_scope",
    "hypothesaes": "stages.coders.readers.hypothesaes",
    "hub_mixin": "stages.coders.readers.hub_mixin",
    "plain": "stages.coders.readers.plain",
}
"""Formats in which sparse coders are saved."""

NEGATIVES = {
    "random": "stages.examples.negatives.random",
    "neighbour": "stages.examples.negatives.neighbour",
    "semantic": "stages.examples.negatives.semantic",
    "surface": "stages.examples.negatives.surface",
}
"""Ways to find windows in which a latent is silent. In this order they are chosen; what one has taken the others leave."""

PROVIDERS = {
    "openai": "stages.llm.providers.openai",
    "pattern": "stages.llm.providers.pattern",
    "transformers": "stages.llm.providers.transformers",
}
"""Where language models run."""

EXPLAINERS = {
    "best_of": "stages.explainers.best_of",
    "combined": "stages.explainers.combined",
    "contrastive": "stages.explainers.contrastive",
    "cot": "stages.explainers.cot",
    "default": "stages.explainers.default",
    "imported": "stages.explainers.imported",
    "none": "stages.explainers.none",
    "output": "stages.explainers.output",
    "pattern": "stages.explainers.pattern",
}

SCORERS_OF_EXPLANATIONS = {
    "detection": "stages.scorers.detection",
    "embedding": "stages.scorers.embedding",
    "fuzzing": "stages.scorers.fuzzing",
    "intervention": "stages.scorers.intervention",
    "pmi": "stages.scorers.pmi",
    "sensitivity": "stages.scorers.sensitivity",
    "simulation": "stages.scorers.simulation",
    "surprisal": "stages.scorers.surprisal",
}

SCORERS_OF_LATENTS = {
    "intruder": "stages.scorers.intruder",
}
"""Those that need no explanation: they judge a latent itself, once."""

SCORERS_BY_PROBABILITY = ("intervention", "pmi", "surprisal")
"""Those of which a language model in this process is the judge, by how likely it finds given texts."""

EXPORTS = {
    "csv": "stages.exports.csv_table",
    "delphi": "stages.exports.delphi",
    "jsonl": "stages.exports.jsonl",
    "neuronpedia": "stages.exports.neuronpedia",
    "neuronpedia-upload": "stages.exports.neuronpedia_upload",
    "ro-crate": "stages.exports.ro_crate",
    "saebench": "stages.exports.saebench",
}
"""Formats that others read."""


GROUPS = {
    "glossa.readers": READERS,
    "glossa.negatives": NEGATIVES,
    "glossa.providers": PROVIDERS,
    "glossa.explainers": EXPLAINERS,
    "glossa.scorers": SCORERS_OF_EXPLANATIONS,
    "glossa.scorers_of_latents": SCORERS_OF_LATENTS,
    "glossa.exports": EXPORTS,
}
"""Groups of entry points."""


def _add_others(group: str, units: dict[str, str]) -> None:
    """Adds the units of installed packages behind ours."""
    for point in sorted(entry_points(group=group)):
        if units.setdefault(point.name, point.value) != point.value:
            package = point.dist.name if point.dist else point.value
            raise GlossaError(
                f"the package {package} offers a unit {point.name} in {group}, but there is one of that name, {units[point.name]}; "
                "rename it there, or uninstall the package"
            )


for _group, _units in GROUPS.items():
    _add_others(_group, _units)

SCORERS = {**SCORERS_OF_EXPLANATIONS, **SCORERS_OF_LATENTS}


def module_of(units: Mapping[str, str], kind: str, key: str) -> str:
    """Returns the name of the module of a unit, which ``key`` of params.yaml names.

    Raises:
        GlossaError: there is none.
    """
    if kind not in units:
        raise GlossaError(f"params.yaml: {key} is {kind!r}, which is unknown; {nearest(str(kind), units)}")
    return units[kind]


def module(units: Mapping[str, str], kind: str, key: str, *names: str) -> ModuleType:
    """Imports a unit whose module offers functions called ``names``; see ``module_of``.

    Raises:
        GlossaError: one of them is not there.
    """
    unit = import_module(module_of(units, kind, key))
    if lacking := [name for name in names if not callable(getattr(unit, name, None))]:
        raise GlossaError(f"{unit.__file__} should have the function {' and '.join(lacking)}, {ADD}")
    return unit


def options(units: Mapping[str, str], kind: str, key: str, base: type[T]) -> type[T]:
    """Imports a unit whose module offers a class ``Options``, which is a ``base``, and returns it; see ``module_of``.

    Raises:
        GlossaError: it offers none, or a part of it is missing.
    """
    unit = import_module(module_of(units, kind, key))
    found = getattr(unit, "Options", None)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise GlossaError(f"{unit.__file__} should have a class Options({base.__name__}), {ADD}")
    declared = [name for name, of in get_annotations(base).items() if str(of).startswith("ClassVar")]
    lacking = sorted({*found.__abstractmethods__, *(name for name in declared if not hasattr(found, name))})  # type: ignore[attr-defined]
    if lacking:
        raise GlossaError(f"the class Options in {unit.__file__} should have {' and '.join(lacking)}, {ADD}")
    return found


def reads(units: Mapping[str, str], kind: str, key: str) -> tuple[str, ...]:
    """Returns the dotted keys of params.yaml that a unit reads beside its own entry, its module's ``READS``; see ``module_of``."""
    found: tuple[str, ...] = getattr(import_module(module_of(units, kind, key)), "READS", ())
    return found


def summary(units: Mapping[str, str], kind: str) -> str:
    """Returns what the first line of a unit's docstring says behind the unit's name; the unit is not imported, which could take long."""
    spec = find_spec(units[kind])
    if spec is None or spec.origin is None:
        return ""
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].partition(": ")[2].replace("``", "")
