"""What an explainer shows a model of a latent, line by line: texts on which it fires, texts on which not, what it promotes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np

from stages.corpus.tokens import Vocabulary
from stages.examples.marks import Shown
from stages.examples.table import Windows
from stages.text.sanitise import quoted

FIRING, BOOSTED = "Firing: ", "Boosted: "

MOST_LISTED = 10
"""Tokens of a text whose strength is listed, the strongest; a latent that fires everywhere would fill the prompt."""


def firing(windows: Windows, places: Sequence[int], vocabulary: Vocabulary, threshold: float, peak: float) -> list[str]:
    """Returns two lines for each of the windows at ``places``: its text, and how strongly the latent fires in it.

    Tokens above ``threshold`` times their window's maximum are marked, and listed with their ``strength``.
    """
    if not len(places):
        return []
    shown = Shown.of(windows.tokens[places], windows.activations[places], vocabulary)
    least = threshold * windows.activations[places].max(axis=1, keepdims=True)
    marks = (shown.activations > least) & shown.there
    lines = []
    for number, (text, mark, row) in enumerate(zip(shown.marked(marks), marks, shown.activations, strict=True), 1):
        lines.append(f"Text {number}: {quoted(text)}")
        named = np.flatnonzero(mark)
        kept = np.sort(named[np.argsort(-row[named], kind="stable")[:MOST_LISTED]])
        texts, strengths = shown.texts[number - 1, kept].tolist(), map(strength, row[kept].tolist(), repeat(peak))
        lines.append(
            FIRING + ", ".join(f"{_quoted(text)} {share}" for text, share in zip(texts, strengths, strict=True))
        )
    return lines


def silent(windows: Windows, places: Sequence[int], vocabulary: Vocabulary) -> list[str]:
    """Returns a line for each of the windows at ``places``, in which the latent does not fire."""
    if not len(places):
        return []
    texts = Shown.of(windows.tokens[places], windows.activations[places], vocabulary).unmarked()
    return [f"Silent text {number}: {quoted(text)}" for number, text in enumerate(texts, 1)]


def output(facts: dict[str, Any], vocabulary: Vocabulary) -> list[str]:
    """Returns a line for what the latent promotes, for what it suppresses, and for what raising it boosts, as far as is known.

    Each holds tokens, the one with the largest effect first, and for every token the share of that effect, 0 to 10. Tokens that are
    parts of characters, which nobody could read on their own, are left out.
    """

    def listed(name: str) -> str:
        values: Sequence[float] = facts.get(f"{name}_values") or []
        texts = [vocabulary.strings[token] for token in facts.get(f"{name}_tokens") or ()]
        shares = (strength(abs(value), abs(values[0])) for value in values)
        return ", ".join(
            f"{quoted(text)} {share}" for text, share in zip(texts, shares, strict=True) if "\ufffd" not in text
        )

    lines = {"top": "Promoted: ", "bottom": "Suppressed: ", "boosted": BOOSTED}
    return [f"{begin}{found}" for name, begin in lines.items() if (found := listed(name))]


def strength(activation: float, peak: float) -> int:
    """Returns ``activation`` in whole tenths of ``peak``, rounded down: 10 is the latent's maximum, 0 less than a tenth.

    Both are float32, and so is the quotient: 0.7 of 1 is 7, though the nearest float32 is below 0.7.
    """
    return max(0, min(10, int(np.float32(10 * activation / peak)))) if peak > 0 else 0


def spread(n: int, most: int | None) -> list[int]:
    """Returns ``most`` of the places 0 to n - 1, or all, evenly spread: windows are ordered by strength."""
    most = n if most is None else min(n, most)
    return [place * n // most for place in range(most)]


_quoted = lru_cache(maxsize=1 << 16)(quoted)
