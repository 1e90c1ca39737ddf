"""Latents that somebody names: whether they were sampled, and kept."""

from __future__ import annotations

import numpy as np

from stages.errors import GlossaError
from stages.examples.table import Examples, LatentExamples

NEAREST = 10


def check(examples: Examples, coder: str, latent: int) -> None:
    """Raises GlossaError, with the nearest that were, if a latent of ``coder`` does not exist, was not sampled or was dropped."""
    n_latents = examples.meta["n_latents"]
    if latent >= n_latents:
        raise GlossaError(f"the coder {coder} has latents 0 to {n_latents - 1}, but no {latent}")
    sampled = examples.latents["latent"].to_numpy()
    place = int(np.searchsorted(sampled, latent))
    if place == len(sampled) or sampled[place] != latent:
        around = sampled[max(0, place - NEAREST) : place + NEAREST].tolist()
        close = sorted(sorted(around, key=lambda other: (abs(other - latent), other))[:NEAREST])
        listed = ", ".join(map(str, close)) or "none"
        raise GlossaError(
            f"latent {latent} of {coder} was not sampled; of the {len(sampled)} that were, the nearest are {listed}; "
            "choose one, or change sampling.latents in params.yaml"
        )
    if (dropped := examples.latents["dropped"][place].as_py()) is not None:
        raise GlossaError(f"latent {latent} of {coder} was sampled but dropped: {dropped}")


def one(examples: Examples, coder: str, latent: int) -> LatentExamples:
    """Returns a latent with its windows; raises GlossaError as ``check`` does."""
    check(examples, coder, latent)
    return next(examples.of([latent]))
