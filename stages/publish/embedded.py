"""The data of a coder's page: compact JSON that is safe inside a script element."""

from __future__ import annotations

import json
from typing import Any

from stages.corpus.tokens import Tokens
from stages.examples.table import LatentExamples
from stages.publish.results import NO_REASON, CoderResults, Scores, called
from stages.publish.shown import Documents, ShownWindow, shown_windows
from stages.publish.text import Segment, sentence, visible

MOST_LATENTS = 4096
"""On one page; beyond this a browser no longer opens it at once."""

# What could end the script element or start markup, and what JavaScript once took for the end of a line.
ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def embed(value: Any) -> str:
    """Returns compact JSON that holds no ``<``, ``>`` or ``&`` and reads back as ``value``."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.translate(ESCAPES)


def page_data(coder: CoderResults, tokens: Tokens, n_windows: int) -> dict[str, Any]:
    """Returns what page.js shows of a coder: up to ``MOST_LATENTS`` latents, ``n_windows`` windows of each."""
    documents = Documents(tokens.documents)
    latents: list[dict[str, Any]] = []
    for example in coder.examples():
        if len(latents) == MOST_LATENTS:
            break
        windows = shown_windows(example, n_windows, tokens, documents)
        latents.append(_latent(coder, example, windows, tokens.vocabulary.strings))
    scorers = next(iter(coder.scores.values()))
    return {
        "explainers": list(coder.explanations),
        "scorers": [_scorer(*one) for one in scorers.items()],
        "of_latents": [_scorer(*one) for one in coder.of_latents.items()],
        "latents": latents,
    }


def _scorer(name: str, scores: Scores) -> list[Any]:
    """Name, metric, what the floor is, what else a score says, and whether it is 1 at most."""
    return [name, scores.metric, scores.floor_name, called(scores.natural_metric), scores.is_bounded]


def _latent(
    coder: CoderResults, example: LatentExamples, windows: list[ShownWindow], strings: list[str]
) -> dict[str, Any]:
    facts = example.facts
    return {
        "id": example.latent,
        "count": facts["count"],
        "density": _short(facts["density"]),
        "max": _short(facts["max"]),
        "mean": _short(facts["mean"]),
        "fires_in": facts["n_windows"],
        "histogram": facts["histogram"],
        "promoted": _tokens(facts["top_tokens"], facts["top_values"], strings),
        "suppressed": _tokens(facts["bottom_tokens"], facts["bottom_values"], strings),
        "explanations": [_explanation(coder, explainer, example.latent) for explainer in coder.explanations],
        "scores": [_score(scores, example.latent) for scores in coder.of_latents.values()],
        "windows": [
            [
                window.role,
                window.decile,
                _short(window.maximum),
                window.document,
                [_segment(segment) for segment in window.segments],
            ]
            for window in windows
        ],
    }


def _tokens(ids: list[int] | None, values: list[float] | None, strings: list[str]) -> list[list[Any]]:
    return [[visible(strings[token]), _short(value)] for token, value in zip(ids or (), values or (), strict=True)]


def _explanation(coder: CoderResults, explainer: str, latent: int) -> dict[str, Any]:
    """``text`` or ``reason``, and for every scorer a score, or null where the latent was not scored."""
    explained = coder.explanations[explainer].get(latent)
    if explained is None or explained.text is None:
        return {"reason": (explained.reason if explained else None) or NO_REASON}
    return {
        "text": sentence(explained.text),
        "scores": [_score(scores, latent) for scores in coder.scores[explainer].values()],
    }


def _score(scores: Scores, latent: int) -> list[Any] | str | None:
    """[score, low, high, floor, examples without a verdict, what it comes to in the corpus], why there is none, or null."""
    own = scores.own.get(latent)
    if own is None:
        return None
    if own.score is None:
        return own.reason or NO_REASON
    natural = _thousandths(scores.natural.get(latent))
    return [*map(_thousandths, (own.score, own.low, own.high, scores.floor_of(latent))), own.unscored, natural]


def _segment(segment: Segment) -> str | list[Any]:
    """Silent text as it is, an activating token with its value, a special token as a list of its name."""
    if segment.special:
        return [segment.text]
    return [segment.text, _short(segment.value)] if segment.value > 0 else segment.text


def _short(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")


def _thousandths(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
