"""Scorers: explanations + test windows -> verdicts and scores. One file each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from stages import params, registry
from stages.corpus.tokens import Vocabulary
from stages.examples.table import LatentExamples


class Item(NamedTuple):
    """A latent with the explanation to be scored, its own or, for the floor, another's."""

    examples: LatentExamples
    text: str
    """Empty for a kind that scores latents."""
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
    """Of params.yaml what the scorer ``reads``."""


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


def reads(entry: dict[str, Any]) -> tuple[str, ...]:
    """Returns the dotted keys of params.yaml that a scorer reads beside its own entry."""
    return getattr(registry.load(registry.SCORERS, entry["kind"], "scorers"), "READS", ())


def load(name: str, entry: dict[str, Any]) -> Any:
    """Returns the scorer that the entry ``scorers.<name>`` of params.yaml describes.

    Raises:
        GlossaError: its kind or one of its options is unknown or out of range.
    """
    unit = registry.load(registry.SCORERS, entry.get("kind", ""), f"scorers.{name}.kind")
    return params.parse(unit.Options, entry, f"scorers.{name}")
