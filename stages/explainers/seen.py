"""Which of a latent's train windows people are shown who explain or rate it, and the hash that ties what they say to those.

They see what a language model is shown (``shown.firing``): the texts, which tokens are marked, how strong they are in tenths of the
latent's maximum. The hash is of no more: hardware rounds what is finer differently, and the order of windows tells nothing.
"""

from __future__ import annotations

from stages.examples.table import LatentExamples
from stages.explainers.shown import spread, strength
from stages.outputs import fingerprint

THRESHOLD = 0.3
"""A token is marked above this share of its window's maximum."""


def places(latent: LatentExamples, most: int) -> list[int]:
    """Returns which of the train windows are shown: ``most`` or all, evenly spread over their strengths."""
    return spread(len(latent.train), most)


def sha256(latent: LatentExamples, most: int) -> str:
    """Returns the hash of ``most`` train windows as they are shown: of every token its number and strength, -1 if it has no mark."""
    peak, windows = latent.facts["max"], []
    for place in places(latent, most):
        activations = latent.train.activations[place]
        least = float(THRESHOLD * activations.max())
        strengths = [strength(value, peak) if value > least else -1 for value in activations.tolist()]
        windows.append([latent.train.tokens[place].tolist(), strengths])
    return fingerprint(sorted(windows))
