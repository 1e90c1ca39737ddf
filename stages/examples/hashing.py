"""Numbers that look random and depend on nothing but what they are asked for.

A generator hands out numbers in the order in which it is asked, so that what one latent gets depends on the others. A hash of
(seed, coder, latent, window) does not, and is computed for millions of windows at once. The mixing is that of SplitMix64
(Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

GAMMA = np.uint64(0x9E3779B97F4A7C15)
ORDER = np.uint64(0x5EED0FA11)
BLOCK = 2**15
"""Numbers at once: what is computed of them stays in the processor's cache."""


def mix(values: NDArray) -> NDArray[np.uint64]:
    """Returns 64 mixed bits for every one of ``values``, whole numbers in one dimension."""
    mixed = values.astype(np.uint64)
    spare = np.empty(min(BLOCK, len(mixed)), np.uint64)
    for start in range(0, len(mixed), BLOCK):
        part = mixed[start : start + BLOCK]
        shifted = spare[: len(part)]
        part += GAMMA
        part ^= np.right_shift(part, np.uint64(30), out=shifted)
        part *= np.uint64(0xBF58476D1CE4E5B9)
        part ^= np.right_shift(part, np.uint64(27), out=shifted)
        part *= np.uint64(0x94D049BB133111EB)
        part ^= np.right_shift(part, np.uint64(31), out=shifted)
    return mixed


def keys(seed: int, coder: str, latents: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Returns the key of every latent, from which all of its choices follow."""
    root = mix(mix(np.array([seed])) ^ np.uint64(zlib.crc32(coder.encode())))
    return mix(root ^ mix(latents))


def shuffled(seed: int, coder: str, latents: Iterable[int]) -> list[int]:
    """Returns the latents in an order that looks random; how two of them lie to each other depends on no third one.

    So those at its beginning are the same whatever is left out elsewhere: two explainers are scored on the same sub-sample although
    each left other latents unexplained, and it is the one that people are asked about first.
    """
    numbers = np.array(sorted(latents), np.int64)
    order = np.argsort(mix(keys(seed, coder, numbers) ^ ORDER), kind="stable")
    return numbers[order].tolist()


def below(hashes: NDArray[np.uint64], limits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turns hashes into whole numbers from 0 to ``limits`` - 1, each as likely as the others but for 1 in 2**53."""
    return ((hashes >> np.uint64(11)) * 2.0**-53 * limits).astype(np.int64)
