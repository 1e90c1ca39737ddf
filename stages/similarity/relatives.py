"""The nearest relatives of one latent, by every similarity there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stages import paths
from stages.errors import GlossaError
from stages.similarity.blocks import Similarity
from stages.similarity.nearby import KINDS, NO_SUCH, NOT_HERE, Relatives
from stages.similarity.pair import pair
from stages.similarity.sources import Known, Sources, meaning_of


def relatives(a: Known, latent: int, b: Known, explainer: str, sources: Sources, n: int) -> dict[str, Relatives]:
    """Returns the ``n`` latents of ``b`` that are nearest to ``latent`` of ``a`` by each of ``KINDS``, itself left out.

    What can't be read, such as weights that are nowhere near, is the reason of a kind and stops no other.
    """
    similarities: dict[str, Similarity | str] = {}
    has_stores = all(paths.latents(side.name).is_dir() for side in (a, b))
    for kinds, known in ((KINDS[:2], sources._replace(stored=None)), (KINDS[2:3], sources if has_stores else None)):
        try:
            found: dict[str, Any] = {} if known is None else pair(a, b, known).similarities
            similarities |= {kind: found.get(kind, NOT_HERE) for kind in kinds}
        except GlossaError as error:
            similarities |= dict.fromkeys(kinds, str(error))
    of_a, of_b = a.explained[explainer], b.explained[explainer]
    similarities["meaning"] = (
        meaning_of(of_a, of_b) if len(of_a.latents) and len(of_b.latents) else "nothing is explained"
    )
    return {kind: _nearest(similarities[kind], latent, n, latent if a.name == b.name else None) for kind in KINDS}


def _nearest(similarity: Similarity | str, latent: int, n: int, itself: int | None) -> Relatives:
    if isinstance(similarity, str):
        return Relatives([], [], similarity)
    one = similarity.only(latent)
    if not len(one.rows):
        return Relatives([], [], NO_SUCH)
    values = torch.cat([block.values[0] for block in one.blocks()]).cpu().numpy()
    others = np.flatnonzero(one.columns != -1 if itself is None else one.columns != itself)
    order = others[np.argsort(-values[others], kind="stable")[:n]]
    return Relatives(one.columns[order].tolist(), values[order].tolist())
