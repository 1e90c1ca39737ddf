"""Finding the rule - which tokens, after what, where - that best tells where a latent fires."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.corpus.lexis import PLACES
from stages.explainers.lexicon import Column, Lexicon

CANDIDATES = 12
"""Values of a kind that are tried, those that stand out most."""
MOST_TARGETS = 5
MOST_BEFORE = 4
SUPPORT = 2
"""Train windows that a value has to fire in; one could be chance."""
WORTH = 0.03
"""A longer rule has to be better by this much."""


@dataclass(frozen=True)
class Rule:
    """Fires on one of ``targets`` (of kind ``piece``, ``word`` or ``shape``), after one of ``before``, inside ``place``."""

    kind: str
    targets: tuple[str, ...]
    before: tuple[str, ...]
    place: str | None
    fit: Fit


@dataclass(frozen=True)
class Fit:
    """How well a rule tells where a latent fires."""

    coverage: float
    """Share of the firing tokens of the train windows that the rule names."""
    precision: float
    """Estimated share of the tokens it names in the corpus on which the latent fires."""
    window_coverage: float
    """Share of the train windows in which it names a token."""
    window_share: float
    """Share of the windows where the latent is silent in which it names a token."""

    @property
    def merit(self) -> float:
        """What a rule is chosen by: telling windows apart (Youden's J) and naming the right tokens (F1)."""
        total = self.coverage + self.precision
        f1 = 2 * self.coverage * self.precision / total if total else 0.0
        return self.window_coverage - self.window_share + f1


@dataclass(frozen=True)
class Evidence:
    """Where a latent fires in its train windows, and how often in the whole corpus."""

    fires: NDArray[np.int64]
    """Flat positions of the train windows on which it fires strongly, increasing."""
    windows: NDArray[np.int64]
    """Numbers of the windows of the lexicon in which they are, increasing."""
    corpus_fires: float
    """Estimated number of such positions in the corpus."""
    corpus_windows: int
    """Windows of the corpus in which it fires."""


def best_rule(lexicon: Lexicon, evidence: Evidence) -> Rule | None:
    """Returns the rule of greatest merit, a shorter one when a longer is hardly better, or None if nothing stands out."""
    search = _Search(lexicon, evidence)
    rules = [rule for kind in ("piece", "word", "shape") if (rule := search.grow(kind))]
    return max(rules, key=lambda rule: rule.fit.merit, default=None)


class _Search:
    """Greedy search for one latent, by the codes of the lexicon."""

    def __init__(self, lexicon: Lexicon, evidence: Evidence) -> None:
        self.lexicon = lexicon
        self.evidence = evidence
        self.in_train = np.zeros(lexicon.n_windows, bool)
        self.in_train[evidence.windows] = True

    def grow(self, kind: str) -> Rule | None:
        """Adds targets one by one, then what stands before them, then where, each while the rule gets better."""
        column = self.lexicon.columns[kind]
        codes, fit = self._targets(column, most=1 if kind == "shape" else MOST_TARGETS)
        if fit is None:
            return None
        named = np.sort(np.concatenate([column.positions(code) for code in codes]))
        fires = self.evidence.fires[_among(column.codes[self.evidence.fires], codes)]
        earlier = self.lexicon.columns["before"]
        before, named, fires, fit = self._before(earlier, named, fires, fit)
        place = None
        for number, name in enumerate(PLACES):
            inside = self.lexicon.places[named] >> number & 1 == 1
            n_fires = int((self.lexicon.places[fires] >> number & 1 == 1).sum())
            found = self._fit(n_fires, int(inside.sum()), *self._windows(named[inside] // self.lexicon.window))
            if found.merit >= fit.merit + WORTH:
                place, fit = name, found
        return Rule(kind, tuple(column.names[c] for c in codes), tuple(earlier.names[c] for c in before), place, fit)

    def _targets(self, column: Column, most: int) -> tuple[list[int], Fit | None]:
        here = column.codes[self.evidence.fires]
        candidates = self._candidates(column, self.evidence.fires)
        windows = {code: column.windows(code, self.lexicon.window) for code in candidates}
        chosen: list[int] = []
        best: Fit | None = None
        named = np.zeros(self.lexicon.n_windows, bool)
        n_fires = n_named = n_windows = n_train = 0
        while len(chosen) < most:
            tried = []
            for code in candidates:
                if code not in chosen:
                    found = (
                        n_fires + int((here == code).sum()),
                        n_named + len(column.positions(code)),
                        n_windows + len(windows[code]),
                        n_train + int(self.in_train[windows[code]].sum()),
                    )
                    tried.append((self._fit(*found), code, found))
            if not tried:
                break
            top, code, counts = max(tried, key=lambda item: item[0].merit)
            if best is not None and top.merit < best.merit + WORTH:
                break
            best = top
            n_fires, n_named, n_windows, n_train = counts
            chosen.append(code)
            named[windows[code]] = True
            windows = {other: found[~named[found]] for other, found in windows.items()}  # what each would add
        return chosen, best

    def _before(
        self, column: Column, named: NDArray[np.int64], fires: NDArray[np.int64], fit: Fit
    ) -> tuple[list[int], NDArray[np.int64], NDArray[np.int64], Fit]:
        """Keeps the tokens after some words, if that makes the rule better by more than a little."""
        candidates = self._candidates(column, fires)
        here, there, windows = column.codes[named], column.codes[fires], named // self.lexicon.window
        is_here = {code: here == code for code in candidates}
        is_there = {code: there == code for code in candidates}
        chosen: list[int] = []
        best: tuple[list[int], Fit] = ([], fit)
        kept, fire = np.zeros(len(named), bool), np.zeros(len(fires), bool)
        while len(chosen) < min(MOST_BEFORE, len(candidates)):
            tried = []
            for code in candidates:
                if code not in chosen:
                    both = kept | is_here[code]
                    n_fires, n_named = int((fire | is_there[code]).sum()), int(both.sum())
                    tried.append((self._fit(n_fires, n_named, *self._windows(windows[both])), code))
            top, code = max(tried, key=lambda item: item[0].merit)
            chosen = [*chosen, code]
            kept, fire = kept | is_here[code], fire | is_there[code]
            if top.merit >= best[1].merit + WORTH:
                best = (chosen, top)
        codes, found = best
        if codes:
            named, fires = named[_among(here, codes)], fires[_among(there, codes)]
        return codes, named, fires, found

    def _candidates(self, column: Column, positions: NDArray[np.int64]) -> list[int]:
        """The codes that stand out most at ``positions``: by log-odds against the corpus, times their share."""
        here = column.codes[positions].astype(np.int64)
        pairs = np.unique(here * self.lexicon.n_windows + positions // self.lexicon.window) // self.lexicon.n_windows
        codes, support = np.unique(pairs, return_counts=True)
        counts = np.bincount(here, minlength=codes[-1] + 1 if len(codes) else 0)[codes]
        enough = (codes != 0) & (support >= SUPPORT)
        codes, counts = codes[enough], counts[enough]
        share = (counts + 0.5) / (len(positions) + 1)
        elsewhere = (column.counts[codes] + 0.5) / (len(column.codes) + 1)
        weight = share * np.log(share / elsewhere)
        order = np.lexsort((codes, -weight))[:CANDIDATES]
        found: list[int] = codes[order][weight[order] > 0].tolist()
        return found

    def _windows(self, windows: NDArray[np.int64]) -> tuple[int, int]:
        """How many there are of ``windows``, which increase and may come several times, and how many of these are of the train windows."""
        if not len(windows):
            return 0, 0
        first = np.empty(len(windows), bool)
        first[0] = True
        np.not_equal(windows[1:], windows[:-1], out=first[1:])
        distinct = windows[first]
        return len(distinct), int(self.in_train[distinct].sum())

    def _fit(self, n_fires: int, n_named: int, n_windows: int, n_train: int) -> Fit:
        """By how many firing tokens and how many tokens at all a rule names, and in how many windows and train windows."""
        evidence = self.evidence
        if not n_named:
            return Fit(0.0, 0.0, 0.0, 0.0)
        coverage = n_fires / len(evidence.fires)
        precision = min(1.0, coverage * evidence.corpus_fires / n_named)
        window_coverage = n_train / len(evidence.windows)
        silent = self.lexicon.n_windows - evidence.corpus_windows
        elsewhere = n_windows - window_coverage * evidence.corpus_windows
        share = min(1.0, max(0.0, elsewhere / silent)) if silent > 0 else 1.0
        return Fit(coverage, precision, window_coverage, share)


def _among(values: NDArray[np.int32], codes: list[int]) -> NDArray[np.bool_]:
    """Whether each of ``values`` is one of a handful of ``codes``: faster than np.isin for so few."""
    found: NDArray[np.bool_] = values == codes[0]
    for code in codes[1:]:
        found |= values == code
    return found
