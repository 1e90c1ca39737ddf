"""The on-disk form of a coder's activations; docs/format.md describes it for readers in other languages."""

from __future__ import annotations

import numpy as np

SCHEMA, VERSION = "glossa/latents", 2

CHUNK = 65_536
"""Elements of an inner chunk: the unit of compression."""
CHUNKS_PER_SHARD = 128
SHARD = CHUNK * CHUNKS_PER_SHARD
"""Elements of a shard: one file."""

RANGE_TOKENS = 65_536
"""Tokens of a run of a small corpus, rounded down to whole rows."""
MOST_RANGES = 256
"""Runs of a large one, whose runs are longer. Ranges depend on nothing else, so that a resumed cache finds what it had."""

BINS = 20
"""Bars of a latent's activation histogram, of equal width from 0 to its maximum."""

MAX_INT32 = np.iinfo(np.int32).max


def kept_bits(precision: str | int) -> int:
    """Returns the mantissa bits that ``cache.precision`` keeps of the 23 of a float32."""
    return precision if isinstance(precision, int) else {"exact": 23, "bf16": 7}[precision]


def round_mantissa(values: np.ndarray, bits: int) -> np.ndarray:
    """Returns finite float32 ``values`` rounded half to even to ``bits`` mantissa bits, never up to infinity.

    The relative error is at most 2**-(bits + 1). Subnormal values stay as they are, so that none becomes 0.
    """
    if bits >= 23:
        return values
    drop = 23 - bits
    raw = values.astype(np.float32).view(np.uint32)
    half = np.uint32((1 << (drop - 1)) - 1)
    last = (raw >> np.uint32(drop)) & np.uint32(1)
    mask = np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
    rounded = ((raw + half + last) & mask).view(np.float32)
    truncated = (raw & mask).view(np.float32)
    safe = np.where(np.isfinite(rounded), rounded, truncated)
    return np.where(np.abs(values) < np.finfo(np.float32).tiny, values, safe)
