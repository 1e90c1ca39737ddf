"""What the earlier stages found of all coders, those of other projects included, as it is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from stages import params, paths
from stages.coders import from_params
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples
from stages.latents.store import LatentStore
from stages.similarity import firing, space
from stages.similarity.activations import Stored
from stages.similarity.known import CONTROLS, Known, Sources, explained
from stages.similarity.shelf import Shelf
from stages.similarity.space import Directions
from stages.subject import load
from stages.subject.load import Subject

Texts = dict[str, dict[str, dict[int, str]]]
"""{explainer: {coder: {latent: explanation}}}."""


def at(p: params.Params, coder: str, path: Callable[..., Path], *names: str) -> Path:
    """Returns where an output of a coder lies, in this project or in another; ``path`` is a function of ``paths``."""
    folder, name = p.compare.place(coder)
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
        )
    return known


def sources(p: params.Params, tokens: Tokens, device: torch.device, with_stores: bool) -> Sources:
    """Returns where directions and, ``with_stores``, activations of the coders of params.yaml come from."""
    n_tokens = tokens.rows * tokens.context_length - tokens.meta["special_positions"]

    def stored(name: str) -> Stored:
        return Stored(LatentStore.open(paths.latents(name)), n_tokens)

    activations = Shelf(stored, lambda found: found.size) if with_stores else None
    return Sources(Shelf(_directions(p, device), space.size), activations, frozenset(p.coders), device)


def _directions(p: params.Params, device: torch.device) -> Callable[[str], Directions]:
    subjects: dict[Any, Subject] = {}

    def subject(name: str) -> Subject:
        section = p.subject_of(name)
        if section.weights not in subjects:
            subjects[section.weights] = load.load(section, p.seed, device)
        return subjects[section.weights]

    def directions(name: str) -> Directions:
        entry = p.coders[name]
        is_control = not isinstance(entry, params.Coder)
        coder = from_params(name, entry, p.seed, subject(name) if is_control else None)
        needed = is_control or space.needs_subject(coder)
        return space.directions(coder, subject(name) if needed else None)

    return directions
