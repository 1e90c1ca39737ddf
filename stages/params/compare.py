"""``compare``: how sparse coders are compared."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from stages.params.base import Section


def _read_pairs(value: Any) -> Any:
    """``pairs`` may be written as ``all``, as ``neighbours`` or as a list of two names each."""
    if value == "all":
        return None
    if value == "neighbours":
        return value
    if isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 == len(set(map(str, p))) for p in value):
        return tuple(map(tuple, value))
    raise PydanticCustomError(
        "pairs", "should be all, neighbours, or a list of pairs of different coders such as [one, two]"
    )


class Other(Section):
    """A sparse coder of another project, such as one of another subject."""

    path: str
    """The folder that holds the other project's data/."""
    coder: str
    """What it is called there."""


class Compare(Section):
    """How sparse coders are compared."""

    embedder: str = "all-MiniLM-L6-v2"
    """A sentence-transformers model: a folder, a packaged model or a repository on the Hub."""
    prompt: str | None = None
    """Name of the embedder's prompt for explanations; by default the one for sentence similarity, if it has one."""
    pairs: Annotated[tuple[tuple[str, str], ...] | Literal["neighbours"] | None, BeforeValidator(_read_pairs)] = None
    """Which coders are compared with which; None is every two, ``neighbours`` those near each other (docs/compare.md)."""
    match: Literal["decoder", "encoder", "both", "activations", "meaning"] = "decoder"
    """Which similarity decides what latents are matched."""
    activations: bool = False
    """Whether the stores of activations are read, for correlations on the shared tokens."""
    ceiling: Annotated[int, Field(ge=0)] = 0
    """Latents of every coder that are explained anew from either half of their train windows."""
    others: dict[str, Other] = Field(default_factory=dict)
    """Coders of other projects, compared by meaning, by the names they have here."""
