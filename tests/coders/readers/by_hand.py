"""What the tests work out in float64 from the weights as they were saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st

from stages.coders.sparse_coder import SparseCoder
from tests.coders.readers.dense import encoded, reconstructed
from tests.coders.readers.on_disk import read_tensors

any_shape = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "d": st.integers(2, 9),
        "n": st.sampled_from([4, 8, 12, 20]),
        "dtype": st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
    }
)


def weights(path: Path) -> dict[str, np.ndarray]:
    tensors = read_tensors(path)
    return {name: value.double().numpy() for name, value in tensors.items() if isinstance(value, torch.Tensor)}


def inputs(width: int, seed: int = 0, rows: int = 12) -> np.ndarray:
    """Random inputs, float32 numbers."""
    return np.random.default_rng(seed + 1).normal(size=(rows, width)).astype(np.float32).astype(np.float64) * 2


def relu(h: np.ndarray) -> np.ndarray:
    return np.maximum(h, 0)


def top(h: np.ndarray, k: int) -> np.ndarray:
    """``h`` where it is one of the ``k`` largest of its row."""
    return h * (h >= np.sort(h, axis=1)[:, -k, None])


def assert_computes(coder: SparseCoder, x: np.ndarray, latents: np.ndarray, reconstruction: np.ndarray) -> None:
    """Fails unless ``coder``, in float32, makes these latents and this reconstruction of ``x``, to 1e-5."""
    for found, expected in ((encoded(coder, x), latents), (reconstructed(coder, x), reconstruction)):
        scale = max(1.0, float(np.abs(expected).max()))
        assert np.abs(found - expected).max() < 1e-5 * scale
