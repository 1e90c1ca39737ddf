"""Every pair of coders: their matched latents, and what each explainer says of both."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.errors import GlossaError
from stages.progress import bar
from stages.similarity.match import Matches, match
from stages.similarity.meaning import Meaning, meaning
from stages.similarity.table import matches_schema

Texts = Mapping[int, str]
"""{latent: explanation} of the latents that have one."""


class Pair(NamedTuple):
    """Two coders, in the order of params.yaml, and their matched latents or the reason why there are none."""

    a: str
    b: str
    matches: Matches | None
    reason: str | None = None


class Compared(NamedTuple):
    """What the stage writes."""

    matches: pa.Table
    pairs: list[dict[str, Any]]


def match_all(directions: Mapping[str, NDArray]) -> list[Pair]:
    """Matches every two coders, given {coder: [latents, width] decoder directions}."""
    every = list(combinations(directions, 2))
    return [_match(a, b, directions) for a, b in bar("match", unit="pair", iterable=every)]


def _match(a: str, b: str, directions: Mapping[str, NDArray]) -> Pair:
    try:
        return Pair(a, b, match(directions[a], directions[b]))
    except GlossaError as error:  # says why this pair has no numbers; the other pairs have theirs
        return Pair(a, b, None, str(error))


def texts_to_embed(pairs: Sequence[Pair], explanations: Mapping[str, Mapping[str, Texts]]) -> list[str]:
    """Returns the distinct texts, sorted, of matched latents that are both explained."""
    found = set()
    for pair in pairs:
        for explainer in explanations:
            for text_a, text_b in zip(*_texts(pair, explanations[explainer]), strict=True):
                if text_a is not None and text_b is not None:
                    found |= {text_a, text_b}
    return sorted(found)


def compare(
    pairs: Sequence[Pair], explanations: Mapping[str, Mapping[str, Texts]], vector: Mapping[str, NDArray], seed: int
) -> Compared:
    """Compares what is said of matched latents.

    Args:
        pairs: what ``match_all`` returned.
        explanations: {explainer: {coder: {latent: explanation}}}.
        vector: {text: [width] at unit norm} of ``texts_to_embed``.
        seed: of the resampling; a pair's intervals do not depend on the other pairs.
    """
    parts, summaries = [], []
    for pair in pairs:
        for explainer, of_coder in explanations.items():
            part, found = _compare(pair, explainer, _texts(pair, of_coder), vector, seed)
            parts.append(part)
            summaries.append(_summary(pair, explainer, found))
    return Compared(pa.concat_tables([matches_schema().empty_table(), *parts]).combine_chunks(), summaries)


def _texts(pair: Pair, of_coder: Mapping[str, Texts]) -> tuple[list[str | None], list[str | None]]:
    if pair.matches is None:
        return [], []
    of_a, of_b = of_coder[pair.a], of_coder[pair.b]
    return [of_a.get(i) for i in pair.matches.latents_a.tolist()], [
        of_b.get(i) for i in pair.matches.latents_b.tolist()
    ]


def _compare(
    pair: Pair, explainer: str, texts: tuple[list, list], vector: Mapping[str, NDArray], seed: int
) -> tuple[pa.Table, Meaning]:
    if pair.matches is None:
        return matches_schema().empty_table(), Meaning(0, reason=pair.reason)
    n = len(pair.matches.cosines)
    both = [i for i, two in enumerate(zip(*texts, strict=True)) if None not in two]
    a, b = (np.array([vector[side[i]] for i in both] or np.empty((0, 0)), np.float32) for side in texts)
    cosines = np.zeros(n, np.float32)
    cosines[both] = np.einsum("ij,ij->i", a, b)
    unknown = np.ones(n, bool)
    unknown[both] = False
    names = {"coder_a": pair.a, "coder_b": pair.b, "explainer": explainer}
    columns = {
        **{column: pa.array([name] * n, pa.string()) for column, name in names.items()},
        "latent_a": pa.array(pair.matches.latents_a),
        "latent_b": pa.array(pair.matches.latents_b),
        "decoder_cosine": pa.array(pair.matches.cosines),
        "explanation_a": pa.array(texts[0], pa.string()),
        "explanation_b": pa.array(texts[1], pa.string()),
        "explanation_cosine": pa.array(cosines, mask=unknown),
    }
    generator = np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names.values())])
    return pa.table(columns, schema=matches_schema()), meaning(a, b, generator)


def _summary(pair: Pair, explainer: str, found: Meaning) -> dict[str, Any]:
    matches = pair.matches
    return {
        "a": pair.a,
        "b": pair.b,
        "explainer": explainer,
        "n_matched": 0 if matches is None else len(matches.cosines),
        "decoder_cosine": None if matches is None else float(matches.cosines.mean(dtype=np.float64)),
        "decoder_cosine_random": None if matches is None else matches.random_cosine,
        **found._asdict(),
    }
