"""Simulation all at once: how strongly a latent fires on every token, from one pass over a text (Bills et al. 2023).

The text has a token on every line, and behind a tab the word "unknown". At each of these places the model says how likely every
number from 0 to 10 would have been; what is expected is their mean, weighted by these probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages import prompts
from stages.llm.forms import strengths
from stages.llm.providers import forced, tree
from stages.llm.providers.local import Local, Row

PROMPT = Path(__file__).with_name("simulation_at_once.md")
HOLDS = ("Explanation:", "Activations:")
NUMBERS = range(strengths.HIGHEST + 1)


def prompt(explanation: str, own: str | None = None) -> str:
    """Returns what precedes the tokens of a text."""
    return f"{prompts.read(own, PROMPT, HOLDS).strip()}\n\nExplanation: {' '.join(explanation.split())}\nActivations:\n"


def expected(
    local: Local, explanation: str, texts: Sequence[Sequence[str]], own: str | None = None
) -> list[NDArray[np.float64] | str]:
    """Returns [tokens] the expected number at every token of every text, or why there is none.

    Raises:
        GlossaError: the model does not even read the prompt.
    """
    head = local.head(prompt(explanation, own))
    local.check_fits(len(local.head(prompt("", own))) + 1)
    layout = _Layout(local, head)
    laid = [layout.rows(tokens) for tokens in texts]
    fitting = [part for part in laid if all(map(layout.fits, part))]
    beginning = local.begin(head) if len(head) > 1 and any(fitting) else None
    read = iter(tree.read(local, fitting, beginning))
    found: list[NDArray[np.float64] | str] = []
    for tokens, part in zip(texts, laid, strict=True):
        if not all(map(layout.fits, part)):
            longest = max(len(row.ids) for row in part)
            found.append(
                f"the prompt with the window has {longest:,} tokens, but the model reads at most {local.limit:,}"
            )
        else:
            found.append(layout.expected(len(tokens), next(read)))
    return found


def mean(likely: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns [places] the expected number from [places, 11] log-probabilities of the numbers, which need not sum up to 1."""
    share = np.exp(likely - likely.max(axis=1, keepdims=True))
    expected: NDArray[np.float64] = share @ np.array(NUMBERS) / share.sum(axis=1)
    return expected


class _Layout:
    """How texts are laid down behind a head, token by token, so that a number would begin where "unknown" does."""

    def __init__(self, local: Local, head: list[int]):
        self._local, self._head = local, head
        self._numbers = [local.after("\t", str(number)) for number in NUMBERS]
        self._unknown = local.after("\t", "unknown\n")
        self._beginnings = sorted({tuple(spelt[:n]) for spelt in self._numbers for n in range(len(spelt))})
        """What a number's next token may stand behind: nothing and, if a number is several tokens, its first ones."""
        self._lines: dict[str, list[int]] = {}

    def fits(self, row: Row) -> bool:
        return self._local.limit is None or len(row.ids) <= self._local.limit

    def rows(self, tokens: Sequence[str]) -> list[Row]:
        """One row that asks behind every token and, for the numbers of several tokens, rows that ask behind their beginnings."""
        ids, places = list(self._head), []
        for number, token in enumerate(tokens):
            ids += self._line(token)
            places.append(len(ids))
            if number + 1 < len(tokens):
                ids += self._unknown
        if not places:
            return []
        main = Row(ids, [(place, token) for place in places for token in self._next(())])
        beside = [
            Row([*ids[:place], *beginning], [(place + len(beginning), token) for token in self._next(beginning)])
            for place in places
            for beginning in self._beginnings
            if beginning
        ]
        return [main, *beside]

    def expected(self, n: int, values: list[NDArray[np.float32]]) -> NDArray[np.float64]:
        """The expected numbers at ``n`` tokens, from what was read of their rows."""
        if not n:
            return np.empty(0)
        first = self._next(())
        further = [beginning for beginning in self._beginnings if beginning]
        likely = []
        for place in range(n):
            at: dict[tuple[int, ...], dict[int, float]] = {}
            at[()] = dict(zip(first, values[0][place * len(first) :], strict=False))
            for number, beginning in enumerate(further):
                read = values[1 + place * len(further) + number]
                at[beginning] = dict(zip(self._next(beginning), read, strict=True))
            each = [[float(at[tuple(spelt[:i])][spelt[i]]) for i in range(len(spelt))] for spelt in self._numbers]
            likely.append(forced.told_apart(self._numbers, each))
        return mean(np.array(likely))

    def _next(self, beginning: tuple[int, ...]) -> list[int]:
        """The tokens with which a number may go on behind ``beginning``."""
        n = len(beginning)
        return sorted({spelt[n] for spelt in self._numbers if len(spelt) > n and tuple(spelt[:n]) == beginning})

    def _line(self, token: str) -> list[int]:
        if token not in self._lines:
            spelt = token.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
            self._lines[token] = self._local.after("\n", f"{spelt}\t")
        return self._lines[token]
