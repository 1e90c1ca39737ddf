"""Scorers: explanations + test windows -> verdicts, and what they come to. One file each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import pyarrow as pa
from pydantic import Field

from stages import params, registry
from stages.corpus.tokens import Vocabulary
from stages.examples.table import LatentExamples
from stages.params import Section

if TYPE_CHECKING:
    from stages.scorers.summary import Summary


class Metric(NamedTuple):
    """What the scores of a scorer are."""

    name: str
    """As a measure is called in tables."""
    label: str
    """As people read it."""
    chance: float | None = None
    """What guessing comes to, if that is known."""
    bounded: bool = True
    """Whether it is 1 at most."""

    def facts(self) -> dict[str, Any]:
        """Returns what the meta of scores says of it."""
        return {"metric": self.name, "label": self.label, "chance": self.chance, "bounded": self.bounded}


class Item(NamedTuple):
    """A latent with the explanation to be scored, its own or, for the floor, another's."""

    examples: LatentExamples
    text: str
    """Empty for a kind that scores latents."""
    control: str
    """``own`` or ``shuffled``."""

    @property
    def key(self) -> tuple[str, int]:
        """(control, latent), by which rows of the tables are known."""
        return self.control, self.examples.latent


class Judged(NamedTuple):
    """What was found of one item."""

    item: Item
    verdicts: pa.Table
    """Its rows (``table.verdicts_schema``), by window."""
    reason: str | None = None
    """Why there are none, where it is known."""
    measures: Sequence[Mapping[str, Any]] = ()
    """What was measured beside the verdicts and does not follow from them (``summary.measure_row``)."""


Judging = Generator[Judged, None, dict[str, Any]]
"""Yields every item, in their order, and returns what else belongs into the meta, such as the identity of a model."""


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
    """What a scorer found of all items."""

    verdicts: pa.Table
    scores: pa.Table
    measures: pa.Table
    metric: Metric
    facts: dict[str, Any]


class Scorer(Section, ABC):
    """What every kind offers as ``Options``: an entry of params.yaml that asks for verdicts, and says what they come to."""

    METRIC: ClassVar[Metric]
    latents: Annotated[int, Field(ge=1)] | None = None
    """How many latents are scored at most, a seeded sub-sample, the same for all explainers; all when None."""
    COMPUTES: ClassVar[bool] = False
    """Whether it runs the subject or a model of its own, so that another machine may round otherwise."""
    APART: ClassVar[bool] = False
    """Whether several processes may judge some items each, as far as its model may be loaded by several."""

    @abstractmethod
    def judge(self, items: Collection[Item], context: Context) -> Judging:
        """Finds the verdicts on items, those of a latent in a row; of one of which nothing can be shown there are none."""

    @abstractmethod
    def summarise(self, judged: Sequence[Judged], context: Context) -> Summary:
        """Makes figures of verdicts, and of nothing else than them and the examples that they are of."""

    def ask(self, items: Collection[Item], context: Context) -> None:
        """Asks all that ``judge`` asks, for an estimate."""
        for _ in self.judge(items, context):
            pass

    def score(self, items: Collection[Item], context: Context) -> Scored:
        """Judges all items; see ``run``."""
        from stages.scorers.run import scored

        return scored(self, items, context)


def reads(entry: dict[str, Any]) -> tuple[str, ...]:
    """Returns the dotted keys of params.yaml that a scorer reads beside its own entry."""
    return registry.reads(registry.SCORERS, entry["kind"], "scorers")


def load(name: str, entry: dict[str, Any]) -> Scorer:
    """Returns the scorer that the entry ``scorers.<name>`` of params.yaml describes.

    Raises:
        GlossaError: its kind or one of its options is unknown or out of range, or its file lacks a part of a scorer.
    """
    unit = registry.options(registry.SCORERS, entry.get("kind", ""), f"scorers.{name}.kind", Scorer)
    return params.parse(unit, entry, f"scorers.{name}")
