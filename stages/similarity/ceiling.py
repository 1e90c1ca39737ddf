"""The ceiling: how alike two explanations of one and the same latent are, made from disjoint train windows.

What the explanations of different latents can't be expected to exceed. Each half holds every other window of every strength, so
it shows what the whole shows; but it is half as much, so the ceiling is, if anything, low. Facts that come from no window, such
as the output tokens a latent promotes, are the same for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import bootstrap
from stages.examples.table import LatentExamples, Windows

SHOWN = ("train", "train_negative", "validation", "validation_negative")
"""The windows that an explainer may look at."""


def halves(latent: LatentExamples) -> tuple[LatentExamples, LatentExamples]:
    """Returns the same latent twice, each with every other of the windows that an explainer may look at."""
    first: dict[str, Any] = {name: _every_other(getattr(latent, name), 0) for name in SHOWN}
    second: dict[str, Any] = {name: _every_other(getattr(latent, name), 1) for name in SHOWN}
    return replace(latent, **first), replace(latent, **second)


def _every_other(windows: Windows, start: int) -> Windows:
    """Windows come in the order of their deciles."""
    found = {}
    for field in fields(Windows):
        value = getattr(windows, field.name)
        found[field.name] = value[start::2] if len(value) == len(windows) else value
    return Windows(**found)


def choose(explained: Sequence[int], n: int, generator: np.random.Generator) -> list[int]:
    """Returns ``n`` of the explained latents at random, or all of fewer, increasing."""
    order = generator.permutation(sorted(explained))[:n]
    return sorted(order.tolist())


def both(latents: Iterable[LatentExamples]) -> list[LatentExamples]:
    """Returns the halves of every latent, one after the other."""
    return [half for latent in latents for half in halves(latent)]


def figure_of(
    two: Sequence[tuple[str, str]], vector: Mapping[str, NDArray], generator: np.random.Generator
) -> dict[str, Any]:
    """Returns the mean cosine of two explanations of one latent, over latents, with its bootstrap interval."""
    cosines = [float(np.dot(vector[a], vector[b])) for a, b in two]
    return bootstrap.facts(bootstrap.mean(np.array(cosines), generator))
