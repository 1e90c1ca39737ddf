"""Explainers: a latent's train windows -> one explanation. One file each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from stages import params, registry
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples, LatentExamples
from stages.explainers.table import Explanation
from stages.params import Params, Section


class Explainer(Section, ABC):
    """What every kind offers as ``Options``: an entry of params.yaml that can explain."""

    @abstractmethod
    def explain(self, latents: Iterable[LatentExamples], tokens: Tokens) -> Iterator[Explanation]:
        """Yields one explanation, or the reason for none, for every latent. It must not look at test windows."""

    def prepare(self, latents: Iterable[LatentExamples], p: Params, coder: str) -> Iterable[LatentExamples]:
        """Returns the latents of ``coder`` with what it goes by beside their windows, such as how they change the subject."""
        return latents

    def facts(self, p: Params, coder: str, examples: Examples) -> dict[str, Any]:
        """Returns what belongs into the meta beside the options, such as where explanations come from."""
        return {}


def reads(entry: dict[str, Any]) -> tuple[str, ...]:
    """Returns the dotted keys of params.yaml that an explainer reads beside its own entry."""
    return registry.reads(registry.EXPLAINERS, entry["kind"], "explainers")


def load(name: str, entry: dict[str, Any]) -> Explainer:
    """Returns the explainer that the entry ``explainers.<name>`` of params.yaml describes.

    Raises:
        GlossaError: its kind or one of its options is unknown or out of range, or its file lacks a part of an explainer.
    """
    unit = registry.options(registry.EXPLAINERS, entry.get("kind", ""), f"explainers.{name}.kind", Explainer)
    return params.parse(unit, entry, f"explainers.{name}")
