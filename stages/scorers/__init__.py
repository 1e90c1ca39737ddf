"""Scorers: explanations + test windows -> verdicts and scores. One file each; a kind is imported when it is used."""

from __future__ import annotations

from importlib import import_module
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
}


class Item(NamedTuple):
    """A latent with the explanation to be scored, its own or, for the floor, another's."""

    examples: LatentExamples
    text: str
    control: str
    """``own`` or ``shuffled``."""


class Scored(NamedTuple):
    """What a scorer found."""

    verdicts: pa.Table
    scores: pa.Table
    metric: str
    facts: dict[str, Any]
    """What else belongs into the meta, such as the identity of a model."""


class Scorer(Protocol):
    """What every kind offers as ``Options``: a section of params.yaml that can score."""

    latents: int | None
    """How many latents are scored at most, a seeded sub-sample; all when None."""

    def score(self, items: list[Item], vocabulary: Vocabulary, seed: int) -> Scored:
        """Judges every test and negative window of every item."""


def load(name: str, entry: dict[str, Any]) -> Any:
    """Returns the scorer that the entry ``scorers.<name>`` of params.yaml describes.

    Raises:
        GlossaError: its kind or one of its options is unknown or out of range.
    """
    kind = entry.get("kind", "")
    if kind not in KINDS:
        raise GlossaError(f"params.yaml: scorers.{name}.kind is {kind!r}, which is unknown; {nearest(kind, KINDS)}")
    return params.parse(import_module(KINDS[kind]).Options, entry, f"scorers.{name}")
