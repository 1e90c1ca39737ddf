"""From verdicts to what they come to: a headline and a table of measures for every latent and explanation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.scorers import Judged, Metric, metrics, ranks
from stages.scorers.metrics import AUROC, BALANCED_ACCURACY, Calls, Figure
from stages.scorers.table import ALL, measures_schema, scores_schema

DECILES = range(1, 11)


class Summary(NamedTuple):
    """What verdicts come to."""

    scores: pa.Table
    """The headline (``scores_schema``)."""
    measures: pa.Table
    """Everything else, and the headline once more (``measures_schema``)."""


def classified(judged: Iterable[Judged], seed: int) -> Summary:
    """Returns what yes-or-no verdicts come to; the headline is ``balanced_accuracy``.

    Measures: balanced_accuracy, sensitivity, specificity, precision, f1, natural_precision, natural_f1 and, where verdicts have
    values, auroc, auprc and natural_auprc; by kind of negatives specificity, balanced_accuracy and auroc; by decile sensitivity.
    """
    return _summary(judged, seed, BALANCED_ACCURACY)


def ranked(judged: Iterable[Judged], seed: int) -> Summary:
    """Returns what verdicts that have a ``value`` only come to; the headline is ``auroc``.

    Measures: auroc, auprc and natural_auprc; auroc by kind of negatives, and by decile against all negatives.
    """
    return _summary(judged, seed, AUROC)


def from_rows(scores: Iterable[Mapping[str, Any]], measures: Iterable[Mapping[str, Any]]) -> Summary:
    """Returns what a scorer with formulas of its own has found; a column that a row leaves out is null."""

    def table(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
        ordered = sorted(rows, key=lambda row: (row["explanation"], row["latent"]))
        return pa.Table.from_pylist([dict.fromkeys(schema.names) | dict(row) for row in ordered], schema)

    return Summary(table(scores, scores_schema()), table(measures, measures_schema()))


def score_row(explanation: str, latent: int, found: Figure, n: int, unscored: int) -> dict[str, Any]:
    """Returns a row of the scores: ``found`` rests on ``n`` examples, and ``unscored`` more could not be judged."""
    facts = {"score": found.value, "low": found.low, "high": found.high, "reason": found.reason}
    return {"explanation": explanation, "latent": latent, **facts, "n": n, "unscored": unscored}


def measure_row(explanation: str, latent: int, metric: str, of: str, found: Figure, n: int) -> dict[str, Any]:
    """Returns a row of the measures: ``metric`` of the examples ``of``, of which there are ``n``."""
    return {"explanation": explanation, "latent": latent, "metric": metric, "of": of, **found._asdict(), "n": n}


class _Examples(NamedTuple):
    """The verdicts on one latent, one of each for every example."""

    active: NDArray[np.bool_]
    kinds: NDArray[np.object_]
    """Of negatives; None elsewhere."""
    deciles: NDArray[np.int64]
    said: NDArray[np.float64]
    """1 for yes, 0 for no; not a number for none. So are the values."""
    values: NDArray[np.float64]

    @classmethod
    def of(cls, verdicts: pa.Table) -> _Examples:
        columns = (verdicts[name] for name in ("active", "kind", "decile", "predicted", "value"))
        active, kinds, deciles, said, values = (column.to_numpy() for column in columns)
        return cls(active.astype(bool), kinds, deciles, said.astype(float), values.astype(float))

    def chosen(self, mask: NDArray[np.bool_]) -> _Examples:
        return _Examples(self.active[mask], self.kinds[mask], self.deciles[mask], self.said[mask], self.values[mask])

    def by_kind(self) -> dict[str, NDArray[np.bool_]]:
        """Which examples are negatives of each kind."""
        kinds = np.array([None if a else kind or "" for a, kind in zip(self.active, self.kinds, strict=True)], object)
        return {kind: kinds == kind for kind in sorted({kind for kind in kinds if kind is not None})}


def _summary(judged: Iterable[Judged], seed: int, headline: Metric) -> Summary:
    scores, measures = [], []
    for item, verdicts, *_ in judged:
        examples = _Examples.of(verdicts)
        rate, generator = item.examples.rate, np.random.default_rng([seed, item.examples.latent, 0xB007])
        found = list(_classified(examples, rate, generator)) if headline != AUROC else []
        counted = examples.chosen(np.isfinite(examples.values if headline == AUROC else examples.said))
        if headline == AUROC or np.isfinite(examples.values).any():
            found += _ranked(examples, rate, generator, deciles=headline == AUROC)
        main = next(figure for metric, of, figure, _ in found if (metric, of) == (headline.name, ALL))
        scores.append(score_row(*item.key, main, len(counted.active), len(verdicts) - len(counted.active)))
        measures += [measure_row(*item.key, metric, of, figure, n) for metric, of, figure, n in found]
    return from_rows(scores, measures)


Found = tuple[str, str, Figure, int]
"""A metric, the examples that it is of, its figure, and how many they are."""


def _classified(examples: _Examples, rate: float | None, generator: np.random.Generator) -> Iterator[Found]:
    judged = examples.chosen(np.isfinite(examples.said))
    of_kind = {kind: _calls(judged, mask) for kind, mask in judged.by_kind().items()}
    active = _calls(judged, judged.active)
    for metric, figure in metrics.classified(active, of_kind, rate, generator).items():
        yield metric, ALL, figure, len(judged.active)
    for kind, calls in of_kind.items():
        if kind:
            specificity = 1 - calls.share
            yield "specificity", f"negatives {kind}", Figure(specificity), calls.n
            both = Figure((active.share + specificity) / 2) if active.n else Figure(None, reason=metrics.NO_ACTIVE)
            yield "balanced_accuracy", f"negatives {kind}", both, active.n + calls.n
    for decile in DECILES:
        calls = _calls(judged, judged.active & (judged.deciles == decile))
        if calls.n:
            yield "sensitivity", f"decile {decile}", Figure(calls.share), calls.n


def _ranked(examples: _Examples, rate: float | None, generator: np.random.Generator, deciles: bool) -> Iterator[Found]:
    judged = examples.chosen(np.isfinite(examples.values))
    active, others = judged.values[judged.active], judged.values[~judged.active]
    of_kind = {kind: judged.values[mask] for kind, mask in judged.by_kind().items()}
    for metric, figure in ranks.ranked(active, of_kind, rate, generator).items():
        yield metric, ALL, figure, len(judged.active)
    for kind, values in of_kind.items():
        if kind:
            figure = Figure(ranks.auroc(active, values)) if len(active) else Figure(None, reason=ranks.NO_ACTIVE)
            yield "auroc", f"negatives {kind}", figure, len(active) + len(values)
    for decile in DECILES if deciles else ():
        values = judged.values[judged.active & (judged.deciles == decile)]
        if len(values):
            figure = Figure(ranks.auroc(values, others)) if len(others) else Figure(None, reason=ranks.NO_OTHER)
            yield "auroc", f"decile {decile}", figure, len(values) + len(others)


def _calls(judged: _Examples, mask: NDArray[np.bool_]) -> Calls:
    return Calls(int(judged.said[mask].sum()), int(mask.sum()))
