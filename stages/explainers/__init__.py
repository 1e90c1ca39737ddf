"""Explainers: a latent's train windows -> one explanation. One file each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from stages import params, registry
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples, LatentExamples
from stages.explainers.table import Explanation


class Explainer(Protocol):
    """What every kind offers as ``Options``: a section of params.yaml that can explain."""

    def explain(self, latents: Iterable[LatentExamples], tokens: Tokens) -> Iterator[Explanation]:
        """Yields one explanation, or the reason for none, for every latent. It must not look at test windows."""


def prepared(unit: Any, latents: Iterable[LatentExamples], p: params.Params, coder: str) -> Iterable[LatentExamples]:
    """Returns the latents of ``coder`` with what ``unit`` goes by beside their windows, such as how they change the subject."""
    prepare = getattr(unit, "prepare", None)
    return latents if prepare is None else prepare(latents, p, coder)


def facts(unit: Any, p: params.Params, coder: str, examples: Examples) -> dict[str, Any]:
    """Returns what belongs into the meta beside the options: what ``unit`` says of where its explanations come from."""
    own = getattr(unit, "facts", None)
    return {} if own is None else own(p, coder, examples)


def reads(entry: dict[str, Any]) -> tuple[str, ...]:
    """Returns the dotted keys of params.yaml that an explainer reads beside its own entry."""
    return getattr(registry.load(registry.EXPLAINERS, entry["kind"], "explainers"), "READS", ())


def load(name: str, entry: dict[str, Any]) -> Any:
    """Returns the explainer that the entry ``explainers.<name>`` of params.yaml describes.

    Raises:
        GlossaError: its kind or one of its options is unknown or out of range.
    """
    unit = registry.load(registry.EXPLAINERS, entry.get("kind", ""), f"explainers.{name}.kind")
    return params.parse(unit.Options, entry, f"explainers.{name}")
