"""Latents that the overview opens with: what is said of them beside their strongest windows."""

from __future__ import annotations

import math
from typing import NamedTuple

from stages.examples.hashing import shuffled
from stages.results.reading import CoderResults, Results, Score
from stages.results.shown import Documents, shown_windows
from stages.text.display import Segment, sentence

LATENTS = 12
"""At most, of all coders together; as many of each."""
WINDOWS = 2
LEVELS = 10
"""Shades."""


class Said(NamedTuple):
    """What one explainer says of a latent."""

    explainer: str
    text: str
    scores: list[tuple[str, Score]]
    """By scorer, as far as this latent was scored."""


class Picked(NamedTuple):
    """A latent."""

    coder: str
    latent: int
    said: list[Said]
    windows: list[list[Segment]]
    """Segments whose value is the shade: a whole number from 0, where it is silent, to ``LEVELS``, its maximum in the corpus."""


def picked(results: Results, seed: int) -> list[Picked]:
    """Returns the first latents, in the order in which scorers and people take them, of those that most explainers explained."""
    each = max(1, LATENTS // max(1, len(results.coders)))
    found = [one for coder in results.coders.values() for one in _of(results, coder, seed, each)]
    step = max(1, math.ceil(len(found) / LATENTS))
    return found[::step]


def _of(results: Results, coder: CoderResults, seed: int, n: int) -> list[Picked]:
    by_latent: dict[int, list[Said]] = {}
    for explainer, explained in coder.explanations.items():
        scorers = coder.scores.get(explainer, {})
        for latent, one in explained.items():
            if one.text is not None:
                scores = [(name, found.own[latent]) for name, found in scorers.items() if latent in found.own]
                by_latent.setdefault(latent, []).append(Said(explainer, sentence(one.text), scores))
    order = shuffled(seed, coder.name, by_latent)
    chosen = sorted(order, key=lambda latent: -len(by_latent[latent]))[:n]
    documents = Documents(results.tokens.documents)
    windows = {}
    # A third of the windows that are shown are the strongest.
    for example in coder.examples().of(sorted(chosen)):
        largest = example.facts["max"]
        windows[example.latent] = [
            [piece._replace(value=_shade(piece.value, largest)) for piece in window.segments]
            for window in shown_windows(example, 3 * WINDOWS, results.tokens, documents)[:WINDOWS]
        ]
    return [Picked(coder.name, latent, by_latent[latent], windows[latent]) for latent in chosen]


def _shade(value: float, largest: float) -> int:
    return min(LEVELS, math.ceil(LEVELS * value / largest)) if value > 0 else 0
