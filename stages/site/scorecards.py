"""Scores of all coders by scorer, as the overview shows them: means, intervals and floors over the distribution of latents."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stages.results.reading import CoderResults, Results, Scores

BARS = 32
HEIGHT = 26
"""Of the highest bar, in the unit of the drawing."""
STEP = 0.25
"""A scale that ends at 1 begins at a multiple of this."""


class Row(NamedTuple):
    """One coder's latents by one explainer; places are per cent of the scale."""

    coder: str
    explainer: str | None
    """None where latents are scored apart from explanations."""
    scores: Scores
    random: float | None
    """What a coder of random directions at the same place scores."""
    own: str
    """The distribution of the latents' scores, as the path of a drawing that is 100 wide."""
    others: str
    """The same with other latents' explanations; empty where there are none."""
    at: dict[str, float]
    """The places of ``score``, ``low``, ``high``, ``floor`` and ``chance``, as far as they are known."""


class Card(NamedTuple):
    """One scorer."""

    scorer: str
    metric: str
    floor: str
    """What the floor is called."""
    ends: tuple[str, str]
    """Of the scale."""
    rows: list[Row]
    scored: int
    """Latents of all rows."""
    unscored: int


def cards(results: Results, of_latents: bool = False) -> list[Card]:
    """Returns a card for every scorer of explanations or, ``of_latents``, of latents, in the order of params.yaml."""
    return [
        _card(results, scorer, of_latents) for scorer in (results.scorers_of_latents if of_latents else results.scorers)
    ]


def _card(results: Results, scorer: str, of_latents: bool) -> Card:
    found = list(_scored(results, scorer, of_latents))
    first = found[0][2]
    marks = [value for _, _, scores in found for value in (scores.chance, scores.overall_floor) if value is not None]
    low, high = scale([*marks, *(value for _, _, scores in found for value in _values(scores))], first.is_bounded)
    # A floor is often one high bar, beside which nothing could be seen; it is cut off.
    most = max((share for _, _, scores in found for share in _shares(_kinds(scores)[0], low, high)), default=0.0)
    rows = []
    for coder, explainer, scores in found:
        own, others = (path(_shares(kind, low, high), most) for kind in _kinds(scores))
        random = results.random_scores(coder, explainer, scorer)
        known = {name: scores.overall(name) for name in ("score", "low", "high")}
        known |= {"floor": scores.overall_floor, "chance": scores.chance}
        at = {name: round(100 * (value - low) / (high - low), 1) for name, value in known.items() if value is not None}
        at = {name: min(max(place, 0.0), 100.0) for name, place in at.items()}
        rows.append(Row(coder.name, explainer, scores, random.overall("score") if random else None, own, others, at))
    scored, unscored = (
        sum(counts)
        for counts in zip(*((s.overall("n_latents"), s.unscored["latents"]) for _, _, s in found), strict=True)
    )
    return Card(scorer, first.metric, first.floor_name, (f"{low:.3g}", f"{high:.3g}"), rows, scored, unscored)


def _scored(results: Results, scorer: str, of_latents: bool) -> Iterator[tuple[CoderResults, str | None, Scores]]:
    for coder in results.coders.values():
        if of_latents:
            yield coder, None, coder.of_latents[scorer]
        else:
            yield from ((coder, explainer, scorers[scorer]) for explainer, scorers in coder.scores.items())


def _kinds(scores: Scores) -> tuple[list[float], list[float]]:
    """The scores of latents with their own explanation, and with another's."""
    own, floor = ([one.score for one in kind.values() if one.score is not None] for kind in (scores.own, scores.floor))
    return own, floor


def _values(scores: Scores) -> list[float]:
    return [value for kind in _kinds(scores) for value in kind]


def scale(values: Sequence[float], bounded: bool) -> tuple[float, float]:
    """Returns the ends of a scale that holds ``values``: up to 1 where that is the most there can be, else with 0 on it."""
    least, most = min(values, default=0.0), max(values, default=1.0)
    if bounded:
        return min(max(-1.0, math.floor(least / STEP) * STEP), 1 - STEP), 1.0
    least, most = min(least, 0.0), max(most, 0.0)
    step = 10.0 ** math.floor(math.log10(max(most - least, 1e-9)))
    return math.floor(least / step) * step, max(math.ceil(most / step), math.floor(least / step) + 1) * step


def _shares(values: Sequence[float], low: float, high: float) -> list[float]:
    """The share of values in every bar of the scale."""
    counts, _ = np.histogram(np.clip(values, low, high), bins=BARS, range=(low, high))
    return (counts / max(1, len(values))).tolist()


def path(shares: Sequence[float], most: float) -> str:
    """Returns bars as the outline of a drawing, 100 wide, that stands on ``HEIGHT``; empty where there is nothing.

    A share of ``most`` is as high as it gets.
    """
    if not any(shares) or not most:
        return ""
    steps = []
    for bar, share in enumerate(shares):
        height = HEIGHT * (1 - min(1.0, share / most))
        steps.append(f"V{_plain(height)}H{_plain(100 * (bar + 1) / len(shares))}")
    return f"M0 {HEIGHT}{''.join(steps)}V{HEIGHT}Z"


def _plain(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
