"""The lists people read: latents in which direction and meaning disagree, latents without relatives, and persistent ones."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.similarity.blocks import Similarity
from stages.similarity.match import Matches, Nearest, mutual
from stages.similarity.significance import NEAR
from stages.similarity.sources import Explained, Known
from stages.similarity.table import SAME

LISTED = 20
"""Entries of a list."""
DIFFERENT = 0.3
"""Cosine, or correlation, below which two latents count as having different directions."""

Entries = list[dict[str, Any]]

Link = tuple[Matches, NDArray[np.float64]]
"""Matched latents and how alike their directions are, [pairs]."""


def same_direction_different_meaning(
    matches: Matches, direction: NDArray[np.float64], meaning: NDArray[np.float64], a: Explained, b: Explained
) -> Entries:
    """Returns matched latents of the same direction whose explanations are least alike, the least alike first.

    Either an explanation is wrong, or the latents differ in spite of their directions.
    """
    chosen = np.flatnonzero((direction >= SAME) & ~np.isnan(meaning))
    order = chosen[np.argsort(meaning[chosen], kind="stable")][:LISTED]
    return [_entry(matches.latents_a[i], matches.latents_b[i], direction[i], meaning[i], a, b) for i in order.tolist()]


def same_meaning_different_direction(
    meaning: Similarity, nearest: Nearest, direction: Similarity, a: Explained, b: Explained
) -> Entries:
    """Returns latents of different directions whose explanations are each other's nearest, the most alike first.

    Explanations that other latents of their coder nearly share are left out, as they tell nothing of this one.
    """
    found = mutual(meaning, nearest)
    cosines = direction.pairs(found.latents_a, found.latents_b)
    alike_by = meaning.pairs(found.latents_a, found.latents_b)
    chosen = np.flatnonzero(cosines < DIFFERENT)
    listed: Entries = []
    for i in chosen[np.argsort(-alike_by[chosen], kind="stable")].tolist():
        latents = found.latents_a[i], found.latents_b[i]
        if _own(a, latents[0]) and _own(b, latents[1]):
            listed.append(_entry(*latents, cosines[i], alike_by[i], a, b))
        if len(listed) == LISTED:
            break
    return listed


def _own(side: Explained, latent: int) -> bool:
    """Whether the explanation of ``latent`` is like no other of its coder."""
    (place,) = side.places(np.array([latent]))
    return int(np.sum(side.vectors @ side.vectors[place] >= NEAR)) == 1


def _entry(
    latent_a: int, latent_b: int, direction: float, meaning: float, a: Explained, b: Explained
) -> dict[str, Any]:
    return {
        "latent_a": int(latent_a),
        "latent_b": int(latent_b),
        "direction": float(direction),
        "meaning": float(meaning),
        "explanation_a": _text(a, int(latent_a)),
        "explanation_b": _text(b, int(latent_b)),
    }


def _text(side: Explained, latent: int) -> str | None:
    return side.of(np.array([latent]))[0]


class Relatives:
    """The nearest latent by direction, in all other coders so far, of every latent of one coder."""

    def __init__(self, n_latents: int) -> None:
        self.values = np.full(n_latents, -np.inf, np.float32)
        self.latents = np.zeros(n_latents, np.int64)
        self.coders = np.full(n_latents, None, object)

    def take(self, coder: str, own: NDArray, nearest: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Takes note of the latents of ``coder`` that are nearest to the latents ``own``."""
        better = values > self.values[own]
        chosen = own[better]
        self.values[chosen], self.latents[chosen], self.coders[chosen] = values[better], nearest[better], coder


def unique(relatives: Relatives, explained: Explained) -> Entries:
    """Returns the explained latents of one coder whose nearest relative is farthest, the farthest first."""
    known = np.flatnonzero(np.isfinite(relatives.values[explained.latents]))
    order = known[np.argsort(relatives.values[explained.latents[known]], kind="stable")][:LISTED]
    return [_lonely(relatives, int(explained.latents[i]), explained.texts[i]) for i in order.tolist()]


def _lonely(relatives: Relatives, latent: int, text: str) -> dict[str, Any]:
    return {
        "latent": latent,
        "explanation": text,
        "nearest_coder": relatives.coders[latent],
        "nearest_latent": int(relatives.latents[latent]),
        "direction": float(relatives.values[latent]),
    }


Chain = tuple[tuple[int, int, float | None], ...]
"""(index of the coder, latent, direction it shares with the one before)."""

Links = Mapping[tuple[str, str], Link]
"""By the two coders, in either order."""


def families(coders: Sequence[Known]) -> list[list[Known]]:
    """Returns the coders that read the same place of different layers of a subject, in the order of layers.

    Of several coders of one layer the first counts, controls never do.
    """
    found: dict[tuple[str, str], dict[int, Known]] = {}
    for coder in coders:
        if coder.layer is not None and coder.control is None:
            found.setdefault((coder.subject, coder.place), {}).setdefault(coder.layer, coder)
    return [[of_layer[layer] for layer in sorted(of_layer)] for of_layer in found.values() if len(of_layer) > 1]


def chains(family: Sequence[Known], links: Links, explainer: str) -> dict[str, Any]:
    """Follows latents through the layers, from match to match as long as the direction stays the same.

    Returns how many chains there are of each number of layers, from 2 up, and the longest of at least 3, or of 2 if there are but
    two layers; of equally long ones those that are explained in more layers, then those whose weakest link is strongest.
    """
    going: dict[int, Chain] = {}
    done: list[Chain] = []
    for place, (a, b) in enumerate(itertools.pairwise(family)):
        link = _link(links, a.name, b.name)
        done += [chain for latent, chain in going.items() if latent not in link]
        going = {
            to: (*going.get(latent, ((place, latent, None),)), (place + 1, to, value))
            for latent, (to, value) in link.items()
        }
    done += going.values()
    lengths = np.bincount([len(chain) for chain in done], minlength=2)
    explained = [set(coder.explained[explainer].latents.tolist()) for coder in family]

    def rank(chain: Chain) -> tuple[Any, ...]:
        weakest = min(value for *_, value in chain if value is not None)
        return -len(chain), -sum(latent in explained[place] for place, latent, _ in chain), -weakest, chain[0][:2]

    long = sorted((chain for chain in done if len(chain) >= min(3, len(family))), key=rank)
    return {
        "coders": [coder.name for coder in family],
        "counts": {str(n): int(lengths[n]) for n in range(2, len(lengths))},
        "chains": [
            [_step(family[place], latent, value, explainer) for place, latent, value in chain]
            for chain in long[:LISTED]
        ],
    }


def _link(links: Links, a: str, b: str) -> dict[int, tuple[int, float]]:
    """{latent of a: (latent of b, direction)} of the matches that keep the direction."""
    if (a, b) in links:
        matches, values = links[a, b]
        first, second = matches.latents_a, matches.latents_b
    elif (b, a) in links:
        matches, values = links[b, a]
        first, second = matches.latents_b, matches.latents_a
    else:
        return {}
    kept = np.flatnonzero(values >= SAME)
    return {int(first[i]): (int(second[i]), float(values[i])) for i in kept.tolist()}


def _step(coder: Known, latent: int, direction: float | None, explainer: str) -> dict[str, Any]:
    return {
        "coder": coder.name,
        "latent": latent,
        "direction": direction,
        "explanation": _text(coder.explained[explainer], latent),
    }
