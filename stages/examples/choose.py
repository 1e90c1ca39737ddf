"""Which latents are explained."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from stages import params
from stages.errors import GlossaError


def choose(choice: params.Choice, n_latents: int, seed: int, coder: str) -> NDArray[np.int64]:
    """Returns the chosen latents in increasing order.

    Raises:
        GlossaError: params.yaml lists a latent that the coder does not have.
    """
    match choice.how:
        case "first":
            return np.arange(min(choice.n or 0, n_latents))
        case "random":
            generator = np.random.default_rng([seed, zlib.crc32(coder.encode()), 0xC0DE])
            return np.sort(generator.permutation(n_latents)[: choice.n])
        case "list":
            listed = np.unique(np.array(choice.latents, np.int64))
            if len(listed) and listed[-1] >= n_latents:
                raise GlossaError(
                    f"params.yaml: sampling.latents lists {listed[-1]}, "
                    f"but the coder {coder} has latents 0 to {n_latents - 1}; drop it"
                )
            return listed
    return np.arange(n_latents)
