"""What two coders have in common: their matched latents, how alike these are in every respect, and what is said of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages import bootstrap
from stages.bootstrap import Figure, facts
from stages.similarity import activations, firing, lists, match, sets
from stages.similarity.blocks import Cosine
from stages.similarity.match import Matches, Nearest
from stages.similarity.meaning import meaning
from stages.similarity.pair import Pair
from stages.similarity.significance import Significance, significance
from stages.similarity.sources import Explained, meaning_of
from stages.similarity.table import matches_schema

CIRCLES = 4
"""Random pairings of the matched latents, from which the similarity of unmatched ones is taken."""
UNEXPLAINED = "no latent of one of the coders is explained"
CHOSEN = "latents were matched by their explanations, so that these are alike is no evidence"
NONE = np.empty(0, np.int32)

KINDS = {"decoder": "decoder", "encoder": "encoder", "both": "both", "pearson": "activations", "jaccard": "activations"}
"""Similarities that are reported of matched latents, and the similarity of all latents they come from."""


class Compared(NamedTuple):
    """What a pair of coders comes to by one explainer."""

    matches: pa.Table
    facts: dict[str, Any]
    lists: dict[str, Any]
    link: lists.Link | None
    """The matched latents and how alike their directions are; None where the coders have no directions to compare."""


class _Case(NamedTuple):
    """A pair of coders and one explainer."""

    pair: Pair
    explainer: str
    a: Explained
    b: Explained
    by_meaning: Cosine | str
    nearest: Nearest | None
    """By meaning."""
    matches: Matches
    values: dict[str, NDArray[np.float64]]
    """Of the matched latents, by kind."""
    generator: np.random.Generator


def compare(pair: Pair, kind: str, seed: int) -> Iterator[Compared]:
    """Matches the latents of two coders by ``kind`` and compares those that are matched; once for every explainer.

    ``kind`` is one of the pair's similarities or ``meaning``. The numbers do not depend on other pairs or explainers.
    """
    names = pair.a.name, pair.b.name
    shared = _shared(pair, _generator(seed, *names))
    by_direction = None if kind == "meaning" else _by_direction(pair, kind)
    for explainer, a in pair.a.explained.items():
        b = pair.b.explained[explainer]
        by_meaning = meaning_of(a, b) if len(a.latents) and len(b.latents) else UNEXPLAINED
        nearest = None if isinstance(by_meaning, str) else match.nearest(by_meaning)
        matched = by_direction or (by_meaning if isinstance(by_meaning, str) else match.match(by_meaning, nearest))
        matches = Matches(NONE, NONE, None) if isinstance(matched, str) else matched
        values = pair.values(by_meaning, matches.latents_a, matches.latents_b)
        case = _Case(pair, explainer, a, b, by_meaning, nearest, matches, values, _generator(seed, *names, explainer))
        found = {
            "a": pair.a.name,
            "b": pair.b.name,
            "explainer": explainer,
            **_place(pair),
            "matched_by": kind,
            "method": matches.method,
            "n_matched": len(matches.latents_a),
            "reason": matched if isinstance(matched, str) else None,
            "similarity": _similarities(case),
            "meaning": _meaning(case, kind),
            "sets": {**_sets(case), "cka": shared["cka"]},
            "firing": {"density_distance": shared["density_distance"], "density_correlation": _density(case)},
        }
        by = pair.direction(kind)
        yield Compared(_table(case), found, _lists(case, by), None if by is None else (matches, _direction(case, by)))


def _generator(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def _by_direction(pair: Pair, kind: str) -> Matches | str:
    similarity = pair.similarities[kind]
    return similarity if isinstance(similarity, str) else match.match(similarity, pair.nearest(kind))


def _shared(pair: Pair, generator: np.random.Generator) -> dict[str, Any]:
    """What no explainer and no matching changes."""
    cka = Figure(reason=str(pair.similarities["activations"])) if pair.stored is None else activations.cka(*pair.stored)
    return {"cka": facts(cka), "density_distance": facts(firing.distance(pair.a.firing, pair.b.firing, generator))}


def _place(pair: Pair) -> dict[str, Any]:
    """Where the two coders stand to each other."""
    a, b = pair.a, pair.b
    same = a.subject == b.subject
    distance = abs(a.layer - b.layer) if same and a.layer is not None and b.layer is not None else None
    return {
        "same_subject": same,
        "same_place": same and a.place == b.place,
        "layer_distance": distance,
        "controls": [side.control for side in (a, b) if side.control],
    }


def _similarities(case: _Case) -> dict[str, Any]:
    """The mean of every kind over matched latents, and over latents of them that are not matched to each other."""
    pair, n = case.pair, len(case.matches.latents_a)
    drawn = []
    for _ in range(CIRCLES if n > 1 else 0):
        circle = case.generator.permutation(n)
        drawn.append(pair.values("", case.matches.latents_a[circle], case.matches.latents_b[np.roll(circle, -1)]))
    found: dict[str, Any] = {}
    for kind, of in KINDS.items():
        reason = pair.similarities[of]
        mean = Figure(reason=reason) if isinstance(reason, str) else bootstrap.mean(case.values[kind], case.generator)
        random = np.concatenate([draw[kind] for draw in drawn]) if drawn and mean.n else np.empty(0)
        found[kind] = facts(mean) | ({"random": float(np.nanmean(random))} if (~np.isnan(random)).any() else {})
    return found


def _meaning(case: _Case, kind: str) -> dict[str, Any]:
    """The cosine of explanations, its floors and its significance."""
    in_a, in_b = case.a.places(case.matches.latents_a), case.b.places(case.matches.latents_b)
    both = np.flatnonzero((in_a >= 0) & (in_b >= 0))
    a, b = case.a.vectors[in_a[both]], case.b.vectors[in_b[both]]
    fires_a, fires_b = case.pair.a.firing, case.pair.b.firing
    latents_a, latents_b = case.matches.latents_a[both], case.matches.latents_b[both]
    classes = {
        "density": firing.classes(fires_a.density[latents_a], fires_b.density[latents_b]),
        "frequency": firing.classes(fires_a.frequency[latents_a], fires_b.frequency[latents_b]),
    }
    found = meaning(a, b, classes, (case.a.vectors, case.b.vectors), case.generator)
    return {
        "cosine": facts(found.cosine),
        "floors": {name: facts(floor) for name, floor in found.floors.items()},
        "significance": facts(Significance(reason=CHOSEN) if kind == "meaning" else significance(a, b, case.generator)),
    }


def _sets(case: _Case) -> dict[str, Any]:
    if case.nearest is None:
        return {name: {"reason": case.by_meaning} for name in ("best_a", "best_b", "energy")}
    energy, p = sets.energy(case.a.vectors, case.b.vectors, case.generator)
    return {
        "best_a": facts(bootstrap.mean(case.nearest.values_a, case.generator)),
        "best_b": facts(bootstrap.mean(case.nearest.values_b, case.generator)),
        "energy": facts(energy) | ({} if p is None else {"p": p}),
    }


def _density(case: _Case) -> dict[str, Any]:
    x = case.pair.a.firing.density[case.matches.latents_a]
    y = case.pair.b.firing.density[case.matches.latents_b]
    return facts(firing.correlation(x, y, case.generator))


def _direction(case: _Case, by: str) -> NDArray[np.float64]:
    return case.values["pearson" if by == "activations" else by]


def _lists(case: _Case, by: str | None) -> dict[str, Any]:
    if by is None or isinstance(case.by_meaning, str) or case.nearest is None:
        return {}
    direction = case.pair.similarities[by]
    assert not isinstance(direction, str)
    return {
        "direction": by,
        "same_direction_different_meaning": lists.same_direction_different_meaning(
            case.matches, _direction(case, by), case.values["explanation"], case.a, case.b
        ),
        "same_meaning_different_direction": lists.same_meaning_different_direction(
            case.by_meaning, case.nearest, direction, case.a, case.b
        ),
    }


def _table(case: _Case) -> pa.Table:
    n = len(case.matches.latents_a)
    names = {"coder_a": case.pair.a.name, "coder_b": case.pair.b.name, "explainer": case.explainer}
    kinds = {
        "decoder_cosine": "decoder",
        "encoder_cosine": "encoder",
        "activation_correlation": "pearson",
        "activation_jaccard": "jaccard",
        "explanation_cosine": "explanation",
    }
    values = {column: case.values[kind] for column, kind in kinds.items()}
    return (
        pa.table(
            {
                **{column: pa.array([name] * n, pa.string()) for column, name in names.items()},
                "latent_a": pa.array(case.matches.latents_a),
                "latent_b": pa.array(case.matches.latents_b),
                "explanation_a": pa.array(case.a.of(case.matches.latents_a), pa.string()),
                "explanation_b": pa.array(case.b.of(case.matches.latents_b), pa.string()),
                **{column: pa.array(v.astype(np.float32), mask=np.isnan(v)) for column, v in values.items()},
            }
        )
        .select(matches_schema().names)
        .cast(matches_schema())
    )
