"""Explanations that are rated, and whose they are, which nobody is told before he has rated."""

from __future__ import annotations

from collections.abc import Sequence

from stages import paths
from stages.explainers import table
from stages.params import Params

Texts = dict[int, dict[str, list[str]]]
"""By latent and by text, the explainers that gave it."""


def of_coder(p: Params, coder: str, explainers: Sequence[str] = ()) -> Texts:
    """Returns what the ``explainers``, all of params.yaml if none is named, say of a coder's latents.

    Raises:
        GlossaError: one has not explained this coder yet.
    """
    found: Texts = {}
    for explainer in explainers or p.explainers:
        for latent, text in table.texts(paths.explanations(coder, explainer)).items():
            found.setdefault(latent, {}).setdefault(text, []).append(explainer)
    return found
