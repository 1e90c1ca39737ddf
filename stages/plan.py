"""Which explanations and scores params.yaml asks for, and what the sections of a coder are worth."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from stages import registry
from stages.params import LATENT, Compare, Params, Sampling, Subject
from stages.params.models import other_than


def scorers_of_latents(p: Params) -> list[str]:
    """Returns the scorers that judge a latent itself, once, and are kept beside the explainers under ``params.LATENT``."""
    return [name for name, entry in p.scorers.items() if entry["kind"] in registry.SCORERS_OF_LATENTS]


def wanted(p: Params) -> Iterator[tuple[str, str, str]]:
    """Yields (coder, explainer, scorer) of every score stage that params.yaml describes; the explainer may be ``params.LATENT``."""
    of_latents = scorers_of_latents(p)
    others = [name for name in p.scorers if name not in of_latents]
    for coder in p.coders:
        yield from product([coder], [LATENT], of_latents)
        yield from product([coder], p.explainers, others)


def foreign_judges(p: Params) -> dict[str, list[str]]:
    """Returns, by what a model is called, the scorers that go by its probabilities though it is another than the subject."""
    found: dict[str, list[str]] = {}
    for name, entry in p.scorers.items():
        judge = entry.get("model") if entry["kind"] in registry.SCORERS_BY_PROBABILITY else None
        if isinstance(judge, dict) and (other := other_than(p.subject, judge)) is not None:
            found.setdefault(other, []).append(name)
    return found


def negatives(sampling: Sampling, kind: str) -> tuple[int, int, int]:
    """Returns how many negatives of a kind are taken for test, validation and train."""
    parts = (sampling.test, sampling.validation, sampling.train)
    test, validation, train = (part.negatives.get(kind, 0) for part in parts)
    return test, validation, train


def kinds_of_negatives(sampling: Sampling) -> list[str]:
    """Returns the kinds of which any negatives are taken, in the order of the registry, which is that in which they are chosen."""
    return [kind for kind in registry.NEGATIVES if any(negatives(sampling, kind))]


def skipped(sampling: Sampling, bos: int | None) -> int:
    """Returns how many first columns of every row are no text, of rows that begin with the special token ``bos`` or, if None, with none."""
    return int(bos is None) if sampling.skip_first == "auto" else sampling.skip_first


def subject_of(p: Params, coder: str) -> Subject:
    """Returns the subject that a coder reads."""
    weights = p.coders[coder].weights
    return p.subject if weights is None else p.subject.model_copy(update={"weights": weights})


def reads_stores(compare: Compare) -> bool:
    """Whether anything that is compared needs the stores of activations."""
    return compare.activations or compare.match == "activations"


def place(compare: Compare, coder: str) -> tuple[Path, str]:
    """Returns the folder of the project that a coder belongs to, and what it is called there."""
    other = compare.others.get(coder)
    return (Path(), coder) if other is None else (Path(other.path), other.coder)
