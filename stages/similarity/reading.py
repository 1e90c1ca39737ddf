"""What the earlier stages found of all coders, those of other projects included, as it is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from stages import params, paths, plan
from stages.coders import from_params
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.similarity import firing, space
from stages.similarity.activations import Stored
from stages.similarity.lru import Lru
from stages.similarity.sources import CONTROLS, Known, Sources, explained
from stages.similarity.space import Directions
from stages.similarity.stores import store_of
from stages.subject import load
from stages.subject.load import Subject

Texts = dict[str, dict[str, dict[int, str]]]
"""{explainer: {coder: {latent: explanation}}}."""


def at(p: params.Params, coder: str, path: Callable[..., Path], *names: str) -> Path:
    """Returns where an output of a coder lies, in this project or in another; ``path`` is a function of ``paths``."""
    folder, name = plan.place(p.compare, coder)
    return folder / path(name, *names)


def names(p: params.Params) -> list[str]:
    """Returns all coders, those of other projects last."""
    return [*p.coders, *p.compare.others]


def said(p: params.Params, texts: Callable[[Path], dict[int, str]]) -> Texts:
    """Returns all explanations; ``texts`` reads those of one coder by one explainer."""
    return {
        explainer: {name: texts(at(p, name, paths.explanations, explainer)) for name in names(p)}
        for explainer in p.explainers
    }


def every(found: Texts) -> set[str]:
    """Returns the distinct explanations."""
    return {text for of_coder in found.values() for latents in of_coder.values() for text in latents.values()}


def coders(
    p: params.Params, found: Texts, vectors: Mapping[str, NDArray], tokens: Tokens, wanted: Iterable[str] | None = None
) -> dict[str, Known]:
    """Returns what is known of all coders, or of the wanted, given all explanations and their embeddings."""
    known = {}
    for name in names(p) if wanted is None else wanted:
        examples = Examples.open(at(p, name, paths.examples))
        meta = examples.meta
        known[name] = Known(
            name,
            meta["hookpoint"],
            meta["coder"]["format"] if meta["coder"]["format"] in CONTROLS else None,
            meta["subject"]["sha256"],
            firing.read(examples, tokens if name in p.coders else None),
            {explainer: explained(of_coder[name], vectors) for explainer, of_coder in found.items()},
            meta["coder"],
        )
    return known


def sources(p: params.Params, tokens: Tokens, device: torch.device, with_stores: bool) -> Sources:
    """Returns where directions and, ``with_stores``, activations of the coders of params.yaml come from.

    Directions are those of the coder that the examples were taken from; another is refused with a GlossaError when they are asked for.
    """

    def stored(name: str) -> Stored:
        return Stored(*store_of(name, tokens))

    activations = Lru(stored, lambda found: found.size) if with_stores else None
    return Sources(Lru(_directions(p, device), space.size), activations, frozenset(p.coders), device)


def _directions(p: params.Params, device: torch.device) -> Callable[[str], Directions]:
    subjects: dict[Any, Subject] = {}

    def subject(name: str, noted: str) -> Subject:
        section = plan.subject_of(p, name)
        if section.weights not in subjects:
            subjects[section.weights] = load.load(section, p.seed, device)
        found = subjects[section.weights]
        _check(name, "subject", found.identity["sha256"], noted)
        return found

    def directions(name: str) -> Directions:
        entry, meta = p.coders[name], Examples.open(paths.examples(name)).meta
        of_subject = meta["subject"]["sha256"]
        is_control = not isinstance(entry, params.Coder)
        coder = from_params(name, entry, p.seed, subject(name, of_subject) if is_control else None)
        _check(name, "coder", coder.identity["sha256"], meta["coder"]["sha256"])
        needed = is_control or space.needs_subject(coder)
        return space.directions(coder, subject(name, of_subject) if needed else None)

    return directions


def _check(name: str, what: str, loaded: str, noted: str) -> None:
    if loaded != noted:
        raise GlossaError(
            f"the examples in {paths.examples(name)} should have been taken from the {what} that params.yaml names, but its hash is "
            f"{loaded[:12]} and theirs {noted[:12]}; run dvc repro"
        )
