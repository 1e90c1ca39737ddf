"""What ratings come to, by explainer: here it is looked up whose an explanation was."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from stages.bootstrap import Figure, mean
from stages.explainers import rows
from stages.explainers.rows import Row
from stages.rating.agreement import Agreement, agreement
from stages.rating.file import RATINGS
from stages.rating.texts import Texts

OTHER_CODER = "are of a coder that is not here any more"
OTHER_TEXT = "are of explanations that nobody gives any more"


class Rated(NamedTuple):
    """How one explainer's explanations were rated."""

    mean: Figure
    """Over latents, which are resampled; of a latent that several people rated their mean counts."""
    latents: int
    ratings: int


class Summary(NamedTuple):
    """What some files of ratings come to."""

    explainers: dict[str, Rated]
    raters: list[str]
    agreement: Agreement
    left_out: Counter[str]
    """By reason, how many ratings were."""


def summary(
    rated: Mapping[str, Sequence[Row]], coders: Mapping[str, str], of_coder: Callable[[str], Texts], seed: int
) -> Summary:
    """Returns what the rows of some files come to.

    ``rated``: by the name of the file, which stands for who rated where that is not told. ``coders``: of the present ones the sha256.
    ``of_coder``: the explanations of one. Of several ratings by one person of the same the last counts.
    """
    left_out: Counter[str] = Counter()
    # By what was rated, the ratings by rater.
    found: dict[tuple[str, int, str], dict[str, int]] = defaultdict(dict)
    for name, several in rated.items():
        for row in several:
            coder = next((one for one, sha256 in coders.items() if rows.is_of(row, one, sha256, coders)), None)
            if coder is None:
                left_out[OTHER_CODER] += 1
            elif row.rating is not None:
                found[coder, row.latent, row.explanation][row.by or name] = row.rating
    by_explainer: dict[str, dict[tuple[str, int], list[list[int]]]] = {}
    texts = {coder: of_coder(coder) for coder in dict.fromkeys(coder for coder, _, _ in found)}
    for (coder, latent, text), ratings in found.items():
        explainers = texts[coder].get(latent, {}).get(text, ())
        if not explainers:
            left_out[OTHER_TEXT] += len(ratings)
        for explainer in explainers:
            by_explainer.setdefault(explainer, {}).setdefault((coder, latent), []).append(list(ratings.values()))
    generator = np.random.default_rng([seed, 0x4A7E])
    means = {name: _rated(of_latents, generator) for name, of_latents in sorted(by_explainer.items())}
    raters = sorted({rater for ratings in found.values() for rater in ratings})
    agreed = agreement([list(ratings.values()) for ratings in found.values()], RATINGS, generator)
    return Summary(means, raters, agreed, left_out)


def _rated(of_latents: Mapping[tuple[str, int], list[list[int]]], generator: np.random.Generator) -> Rated:
    values = [np.mean([rating for ratings in found for rating in ratings]) for found in of_latents.values()]
    n = sum(len(ratings) for found in of_latents.values() for ratings in found)
    return Rated(mean(np.array(values), generator), len(values), n)
