"""What the page of a latent shows at once: facts, explanations, scores, windows and relatives of a few latents."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.results.reading import NO_REASON, CoderResults, Scores
from stages.results.shown import Documents
from stages.site.digits import shortened
from stages.site.spelling import Spelling, sparse
from stages.site.windows import Windows
from stages.text.display import sentence

PER_DECILE = 2
"""Windows of every decile that are shown beside the strongest of all."""
DECIMALS = 3
"""Of scores."""


def shard(
    coder: CoderResults,
    facts: list[dict[str, Any]],
    windows: Windows,
    strongest: int,
    spelling: Spelling,
    documents: Documents,
    relatives: dict[int, list[dict[str, Any]]],
) -> dict[str, Any]:
    """Returns ``strings`` and ``latents``; ``facts`` are rows of the latents table, ``windows`` those in which they fire."""
    order = chosen(windows, strongest)
    activations = windows.activations[order]
    starts = windows.starts[order]
    strings, places = spelling.table(windows.ids[order])
    largest = activations.argmax(axis=1)
    columns = (
        windows.latents[order].tolist(),
        [windows.roles[place] for place in order.tolist()],
        windows.deciles[order].tolist(),
        [shortened(value) for value in activations.max(axis=1, initial=0).tolist()],
        documents.named(starts + largest),
        starts.tolist(),
        places.tolist(),
        sparse(activations),
    )
    shown: dict[int, list[list[Any]]] = {}
    for latent, *window in zip(*columns, strict=True):
        shown.setdefault(latent, []).append(window)
    latents = [
        {
            **_facts(row, spelling),
            "explanations": [_explanation(coder, explainer, row["latent"]) for explainer in coder.explanations],
            "scores": _scores(coder.of_latents, row["latent"]),
            "windows": shown.get(row["latent"], []),
            "relatives": relatives.get(row["latent"], []),
        }
        for row in facts
    ]
    return {"strings": strings, "latents": latents}


def chosen(windows: Windows, strongest: int) -> NDArray[np.int64]:
    """Returns which windows are shown, in their order: of every latent the strongest, then some of every decile."""
    order = np.lexsort((windows.starts, -windows.activations.max(axis=1, initial=0), windows.latents))
    latents, deciles = windows.latents[order].astype(np.int64), windows.deciles[order].astype(np.int64)
    is_top = _ranks(latents) < strongest
    rest = np.flatnonzero(~is_top)
    rest = rest[np.argsort(latents[rest] << 8 | deciles[rest], kind="stable")]
    group = latents[rest] << 8 | deciles[rest]
    # As many of each, evenly down from the strongest.
    _, first, size = np.unique(group, return_index=True, return_counts=True)
    step = np.arange(PER_DECILE)[None, :] * size[:, None] // PER_DECILE
    among = np.unique((first[:, None] + np.minimum(step, size[:, None] - 1)).ravel())
    top = np.flatnonzero(is_top)
    found = np.concatenate([top, rest[among]])
    return order[found[np.argsort(latents[found], kind="stable")]]


def _ranks(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each within its group; those of a group stand together."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.arange(len(groups)) - first[inverse]


def _facts(row: dict[str, Any], spelling: Spelling) -> dict[str, Any]:
    return {
        "id": row["latent"],
        "count": row["count"],
        **{name: shortened(row[name]) for name in ("density", "max", "mean")},
        "fires_in": row["n_windows"],
        "histogram": row["histogram"],
        "promoted": _tokens(row["top_tokens"], row["top_values"], spelling),
        "suppressed": _tokens(row["bottom_tokens"], row["bottom_values"], spelling),
        **_places(row, spelling),
    }


def _places(row: dict[str, Any], spelling: Spelling) -> dict[str, Any]:
    """Of every place that it writes to, where there are several, how much it writes and what that promotes."""
    if not row.get("place_tokens"):
        return {}
    columns = (row["place_norms"], row["place_tokens"], row["place_values"])
    return {
        "places": [
            [shortened(norm), _tokens(tokens, values, spelling)] for norm, tokens, values in zip(*columns, strict=True)
        ]
    }


def _tokens(ids: list[int] | None, values: list[float] | None, spelling: Spelling) -> list[list[Any]]:
    return [[spelling.name(token), shortened(value)] for token, value in zip(ids or (), values or (), strict=True)]


def _explanation(coder: CoderResults, explainer: str, latent: int) -> dict[str, Any]:
    explained = coder.explanations[explainer].get(latent)
    if explained is None or explained.text is None:
        return {"explainer": explainer, "reason": sentence((explained.reason if explained else None) or NO_REASON)}
    scores = _scores(coder.scores[explainer], latent)
    return {"explainer": explainer, "text": sentence(explained.text), "scores": scores}


def _scores(scorers: dict[str, Scores], latent: int) -> dict[str, list[Any] | str]:
    """By scorer [score, low, high, floor, examples without a verdict, natural], or why there is none; unasked ones are left out."""
    found = {scorer: _score(scores, latent) for scorer, scores in scorers.items()}
    return {scorer: value for scorer, value in found.items() if value is not None}


def _score(scores: Scores, latent: int) -> list[Any] | str | None:
    own = scores.own.get(latent)
    if own is None:
        return None
    if own.score is None:
        return sentence(own.reason or NO_REASON)
    numbers = (own.score, own.low, own.high, scores.floor_of(latent))
    return [*map(rounded, numbers), own.unscored, rounded(scores.natural.get(latent))]


def rounded(score: float | None) -> float | None:
    """A score as it is shown."""
    return None if score is None else round(score, DECIMALS)
