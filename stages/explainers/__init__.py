"""Explainers: a latent's train windows -> one explanation. One file each; a kind is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, Protocol

from stages import params
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, nearest
from stages.examples.table import Examples, LatentExamples
from stages.explainers.table import Explanation

KINDS = {
    "best_of": "stages.explainers.best_of",
    "combined": "stages.explainers.combined",
    "contrastive": "stages.explainers.contrastive",
    "cot": "stages.explainers.cot",
    "default": "stages.explainers.default",
    "imported": "stages.explainers.imported",
    "none": "stages.explainers.none",
    "output": "stages.explainers.output",
    "pattern": "stages.explainers.pattern",
}


class Explainer(Protocol):
    """What every kind offers as ``Options``: a section of params.yaml that can explain."""

    def explain(self, latents: Iterable[LatentExamples], tokens: Tokens) -> Iterator[Explanation]:
        """Yields one explanation, or the reason for none, for every latent. It must not look at test windows."""


def prepared(unit: Any, latents: Iterable[LatentExamples], p: params.Params, coder: str) -> Iterable[LatentExamples]:
    """Returns the latents of ``coder`` with what ``unit`` goes by beside their windows, such as how they change the subject."""
    prepare = getattr(unit, "prepare", None)
    return latents if prepare is None else prepare(latents, p, coder)


def facts(unit: Any, coder: str, examples: Examples) -> dict[str, Any]:
    """Returns what belongs into the meta beside the options: what ``unit`` says of where its explanations come from."""
    own = getattr(unit, "facts", None)
    return {} if own is None else own(coder, examples)


def load(name: str, entry: dict[str, Any]) -> Any:
    """Returns the explainer that the entry ``explainers.<name>`` of params.yaml describes.

    Raises:
        GlossaError: its kind or one of its options is unknown or out of range.
    """
    kind = entry.get("kind", "")
    if kind not in KINDS:
        raise GlossaError(f"params.yaml: explainers.{name}.kind is {kind!r}, which is unknown; {nearest(kind, KINDS)}")
    return params.parse(import_module(KINDS[kind]).Options, entry, f"explainers.{name}")
