"""Which of a latent's windows are shown, and what is said about each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.corpus.tokens import Tokens
from stages.examples.table import LatentExamples
from stages.text.display import Segment, segments, visible


class ShownWindow(NamedTuple):
    """One window as a reader sees it."""

    role: str
    """train or test."""
    decile: int
    maximum: float
    document: str
    """Name of the document in which the latent fires strongest."""
    segments: list[Segment]


class Documents:
    """Finds the document of a flat position."""

    def __init__(self, documents: pa.Table) -> None:
        self._starts = documents["start"].to_numpy()
        self._names = documents["name"].to_pylist()

    def at(self, position: int) -> str:
        """The name of the document that holds ``position``, fit to be shown; empty before the first."""
        return self.named(np.array([position]))[0]

    def named(self, positions: NDArray[np.int64]) -> list[str]:
        """The same of many positions."""
        places = np.searchsorted(self._starts, positions, side="right") - 1
        return [visible(self._names[place]) if place >= 0 else "" for place in places.tolist()]


def shown_windows(example: LatentExamples, n: int, tokens: Tokens, documents: Documents) -> list[ShownWindow]:
    """Returns up to ``n`` of the train and test windows: a third are the strongest, the rest go down to the weakest."""
    ranked = sorted(
        (-maximum, start, role, place)
        for role, windows in (("train", example.train), ("test", example.test))
        for place, (maximum, start) in enumerate(
            zip(windows.activations.max(axis=1).tolist(), windows.starts.tolist(), strict=True)
        )
    )
    found = []
    for rank in spread(len(ranked), n):
        _, start, role, place = ranked[rank]
        windows = example.train if role == "train" else example.test
        ids, activations = windows.tokens[place].tolist(), windows.activations[place].tolist()
        maximum = max(activations)
        document = documents.at(start + activations.index(maximum))
        shown = segments(ids, activations, tokens.vocabulary)
        found.append(ShownWindow(role, int(windows.deciles[place]), maximum, document, shown))
    return found


def spread(total: int, n: int) -> list[int]:
    """Returns ``n`` of the ranks 0 … total-1 in order: a third from the top, the others evenly down to the last."""
    if total <= n:
        return list(range(total))
    top = (n + 2) // 3
    rest = n - top
    steps = max(1, rest - 1)
    return [*range(top), *(top + i * (total - 1 - top) // steps for i in range(rest))]
