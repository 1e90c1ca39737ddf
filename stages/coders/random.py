"""A random TopK coder: what explanations and scores come to where directions mean nothing.

Paulo et al. (arXiv 2410.13928, appendix G.3) use 131,072 unit-norm rows drawn uniformly on the sphere, k = 50, and the encoder's
transpose as decoder.
"""

from __future__ import annotations

import numpy as np
import torch

from stages.coders.activations import TopK
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.outputs import fingerprint


def load(width: int, hookpoint: str, latents: int, k: int, seeds: tuple[int, int]) -> SparseCoder:
    """Returns a coder whose rows [latents, width] are uniform on the unit sphere; the same ``seeds`` give the same rows.

    Raises:
        GlossaError: there are fewer than ``k`` latents.
    """
    if k > latents:
        raise GlossaError(f"the k of a random coder should be at most its {latents} latents, found {k}")
    rows = np.random.default_rng(seeds).standard_normal((latents, width), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    weight = torch.from_numpy(rows)
    facts = {"format": "random", "latents": latents, "k": k, "seeds": list(seeds), "width": width}
    return SparseCoder(
        W_enc=weight,
        b_enc=torch.zeros(latents),
        W_dec=weight,
        b_dec=torch.zeros(width),
        b_pre=torch.zeros(width),
        activation=TopK(k),
        source=f"{latents} random directions",
        identity={**facts, "sha256": fingerprint(facts)},
        hookpoint=hookpoint,
    )
