"""Scorers: explanations + test windows -> verdicts and scores. One file each; a kind is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from stages import params
from stages.corpus.tokens import Vocabulary
from stages.errors import GlossaError, nearest
from stages.examples.table import LatentExamples

KINDS = {
    "detection": "stages.scorers.detection",
    "embedding": "stages.scorers.embedding",
    "fuzzing": "stages.scorers.fuzzing",
    "intervention": "stages.scorers.intervention",
    "intruder": "stages.scorers.intruder",
    "sensitivity": "stages.scorers.sensitivity",
    "simulation": "stages.scorers.simulation",
    "surprisal": "stages.scorers.surprisal",
}
OF_LATENTS = {"intruder"}
"""Kinds that need no explanation: they judge a latent itself, once, and are kept beside the explainers under ``params.LATENT``."""
WITH_SUBJECT = {"intervention", "sensitivity"}
"""Kinds that run the subject and the sparse coder."""


class Item(NamedTuple):
    """A latent with the explanation to be scored, its own or, for the floor, another's."""

    examples: LatentExamples
    text: str
    """Empty for the kinds ``OF_LATENTS``."""
    control: str
    """``own`` or ``shuffled``."""


@dataclass(frozen=True)
class Context:
    """What a scorer may go by beside its items."""

    vocabulary: Vocabulary
    seed: int
    coder: str = ""
    """The name of the sparse coder that the latents belong to."""
    p: params.Params | None = None
    """All of params.yaml, for the kinds ``WITH_SUBJECT``: they find the subject and the coder there."""


class Scored(NamedTuple):
    """What a scorer found."""

    verdicts: pa.Table
    scores: pa.Table
    measures: pa.Table
    metric: str
    """Which of the measures the scores are."""
    facts: dict[str, Any]
    """What else belongs into the meta, such as the identity of a model; ``chance`` where guessing has a score of its own."""


class Scorer(Protocol):
    """What every kind offers as ``Options``: a section of params.yaml that can score."""

    latents: int | None
    """How many latents are scored at most, a seeded sub-sample; all when None."""

    def score(self, items: list[Item], context: Context) -> Scored:
        """Scores every item."""


def wanted(p: params.Params) -> Iterator[tuple[str, str, str]]:
    """Yields (coder, explainer, scorer) of every score stage that params.yaml describes; the explainer may be ``params.LATENT``."""
    of_latents = [name for name, entry in p.scorers.items() if entry["kind"] in OF_LATENTS]
    others = [name for name in p.scorers if name not in of_latents]
    for coder in p.coders:
        yield from product([coder], [params.LATENT], of_latents)
        yield from product([coder], p.explainers, others)


def load(name: str, entry: dict[str, Any]) -> Any:
    """Returns the scorer that the entry ``scorers.<name>`` of params.yaml describes.

    Raises:
        GlossaError: its kind or one of its options is unknown or out of range.
    """
    kind = entry.get("kind", "")
    if kind not in KINDS:
        raise GlossaError(f"params.yaml: scorers.{name}.kind is {kind!r}, which is unknown; {nearest(kind, KINDS)}")
    return params.parse(import_module(KINDS[kind]).Options, entry, f"scorers.{name}")
