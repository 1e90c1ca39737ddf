"""params.yaml as frozen, validated sections, one file each: every value that can change a result.

A fingerprint covers the values that a stage reads, not this package, so nothing here may compute anything but them. The options
of a single explainer or scorer belong to its unit; here an entry is only known to have a ``kind``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from stages import paths
from stages.errors import GlossaError, nearest
from stages.params.base import Section, parse, read_yaml
from stages.params.coders import AnyCoder, Coder, Neurons, RandomCoder
from stages.params.compare import Compare, Other
from stages.params.corpus import Corpus, HubDataset, InstalledDocs, LocalText, Texts, TokenIds
from stages.params.models import described
from stages.params.report import Report
from stages.params.sampling import Choice, Sampling, Test, Train, Validation
from stages.params.subject import Cache, Subject

__all__ = [
    "AnyCoder",
    "Cache",
    "Choice",
    "Coder",
    "Compare",
    "Corpus",
    "HubDataset",
    "InstalledDocs",
    "LATENT",
    "LocalText",
    "NAME",
    "Neurons",
    "Other",
    "Params",
    "RandomCoder",
    "Report",
    "Sampling",
    "Section",
    "Subject",
    "Test",
    "Texts",
    "TokenIds",
    "Train",
    "Validation",
    "load",
    "only",
    "parse",
    "read_yaml",
]

NAME = re.compile(r"[a-z0-9_]+")
LATENT = "latent"
"""Stands for an explainer where a latent itself is scored."""


class Params(Section):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    corpus: Corpus
    subject: Subject
    cache: Cache = Cache()
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    coders: Annotated[dict[str, AnyCoder], Field(min_length=1)]
    sampling: Sampling
    explainers: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    scorers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    compare: Compare = Compare()
    report: Report = Report()


MODELS = ("model", "judge")
"""Options of explainers and scorers that describe a language model, or name one of the section ``models``."""


def only(p: Params, *keys: str) -> Params:
    """Returns ``p`` with nothing but what stands under the dotted ``keys``: asking for anything else is an AttributeError.

    So a stage can't go by a value that its fingerprint does not cover.
    """
    return _only(p, [key.split(".") for key in keys])


def _only(section: Any, keys: list[list[str]]) -> Any:
    if any(not key for key in keys):
        return section
    kept = {key[0]: _only(getattr(section, key[0]), [rest for first, *rest in keys if first == key[0]]) for key in keys}
    found = section.model_copy()
    found.__dict__.clear()
    found.__dict__.update(kept)
    return found


def load(path: Path = paths.PARAMS) -> Params:
    """Reads and validates params.yaml.

    Raises:
        GlossaError: the file is missing, no YAML, or says something no stage understands.
    """
    raw = read_yaml(path)
    params = _with_models(parse(Params, raw, "", path), path)
    for section in ("coders", "explainers", "scorers"):
        for name in getattr(params, section):
            if not NAME.fullmatch(name):
                raise GlossaError(f"{path}: the name {section}.{name} should hold only a-z, 0-9 and _; rename it")
    if LATENT in params.explainers:
        raise GlossaError(
            f"{path}: an explainer can't be called {LATENT}, where the scores are that need no explanation; rename it"
        )
    for section in ("explainers", "scorers"):
        for name, entry in getattr(params, section).items():
            if not isinstance(entry.get("kind"), str):
                raise GlossaError(f"{path}: {section}.{name} should have a kind, found {entry!r}")
    window, length = params.sampling.window, params.corpus.context_length
    if length % window:
        raise GlossaError(
            f"{path}: sampling.window should divide corpus.context_length, found {window} and {length}; "
            "choose one that does"
        )
    if (centre := params.sampling.centre) is not None and centre >= window:
        raise GlossaError(
            f"{path}: sampling.centre should be a column of the window, 0 to {window - 1}, found {centre}; "
            "choose one, or null"
        )
    if isinstance(skip := params.sampling.skip_first, int) and skip >= length:
        raise GlossaError(
            f"{path}: sampling.skip_first should leave something of the {length} columns of a row, found {skip}; lower it"
        )
    return params


def _with_models(params: Params, path: Path) -> Params:
    """``params`` with the description of a model in place of its name, wherever an entry names one."""
    models = {name: described(entry, params.subject, f"models.{name}", path) for name, entry in params.models.items()}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for section in ("explainers", "scorers"):
        found[section] = {}
        for name, entry in getattr(params, section).items():
            given = {key: entry[key] for key in MODELS if isinstance(entry.get(key), str | dict)}
            found[section][name] = entry | {
                key: _model(model, models, params.subject, f"{section}.{name}.{key}", path)
                for key, model in given.items()
            }
    return params.model_copy(update={"models": models, **found})


def _model(
    given: str | dict[str, Any], models: dict[str, dict[str, Any]], subject: Subject, key: str, path: Path
) -> dict[str, Any]:
    """The description of a model that an entry gives under ``key``, itself or by its name."""
    if isinstance(given, dict):
        return described(given, subject, key, path)
    if given not in models:
        raise GlossaError(
            f"{path}: {key} names the model {given}, which models does not describe; "
            f"{nearest(given, models) if models else 'add it there'}"
        )
    return models[given]
