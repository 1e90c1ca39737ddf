"""What a coder makes of inputs, as dense arrays."""

from __future__ import annotations

import numpy as np
import torch

from stages.coders.sparse_coder import SparseCoder


def encoded(coder: SparseCoder, x: np.ndarray) -> np.ndarray:
    """Returns the latents [inputs, latents], each of which may come up once a row."""
    found = coder.encode(torch.tensor(x, dtype=torch.float32))
    places = list(zip(found.rows.tolist(), found.latents.tolist(), strict=True))
    assert len(places) == len(set(places))
    dense = np.zeros((len(x), coder.n_latents))
    dense[found.rows, found.latents] = found.values
    return dense


def reconstructed(coder: SparseCoder, x: np.ndarray) -> np.ndarray:
    """Returns the reconstruction [inputs, d_out]."""
    return coder.reconstruct(torch.tensor(x, dtype=torch.float32)).numpy()
