"""From verdicts to what they come to: a headline and a table of measures for every latent and explanation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages import bootstrap
from stages.bootstrap import Figure
from stages.scorers import Judged, Metric, metrics, ranks
from stages.scorers.metrics import AUROC, BALANCED_ACCURACY, Calls
from stages.scorers.table import ALL, measures_schema, scores_schema, verdicts_schema

DECILES = range(1, 11)
AT_ONCE = 16
"""Items of which resamples are in memory together: few enough to stay in the processor's cache."""


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


def measure_row(explanation: str, latent: int, metric: str, subset: str, found: Figure, n: int) -> dict[str, Any]:
    """Returns a row of the measures: ``metric`` of a ``subset`` of the examples, which has ``n``."""
    return {"explanation": explanation, "latent": latent, "metric": metric, "subset": subset, **found._asdict(), "n": n}


class _Examples(NamedTuple):
    """The verdicts on one latent, one of each for every example."""

    active: NDArray[np.bool_]
    kinds: NDArray[np.int64]
    """Of negatives, by their place among all kinds; -1 elsewhere."""
    deciles: NDArray[np.int64]
    said: NDArray[np.float64]
    """1 for yes, 0 for no; not a number for none. So are the values."""
    values: NDArray[np.float64]

    def chosen(self, mask: NDArray[np.bool_] | slice) -> _Examples:
        return _Examples(self.active[mask], self.kinds[mask], self.deciles[mask], self.said[mask], self.values[mask])


class _Columns(NamedTuple):
    """The verdicts on several items, those of one after those of another."""

    items: list[Judged]
    """By explanation and latent."""
    examples: _Examples
    kinds: list[str]
    """Of negatives, in order; empty where none is told."""
    ends: NDArray[np.int64]
    """[1 + items] where the verdicts on each end, after 0."""

    @classmethod
    def of(cls, judged: Iterable[Judged]) -> _Columns:
        items = sorted(judged, key=lambda one: one.item.key)
        names = ("active", "kind", "decile", "predicted", "value")
        empty = verdicts_schema().empty_table()
        whole = pa.concat_tables([empty, *(one.verdicts for one in items)]).select(names).combine_chunks()
        active = whole["active"].to_numpy().astype(bool)
        named = whole["kind"].combine_chunks().fill_null("").dictionary_encode()
        here = named.dictionary.to_pylist()
        codes = named.indices.to_numpy()
        kinds = sorted({here[code] for code in np.unique(codes[~active]).tolist()})
        place = np.array([kinds.index(kind) if kind in kinds else -1 for kind in here], np.int64)
        kind = np.where(active, -1, place[codes]) if len(codes) else np.empty(0, np.int64)
        said = whole["predicted"].cast(pa.int8()).to_numpy().astype(np.float64)
        values = whole["value"].to_numpy().astype(np.float64)
        examples = _Examples(active, kind, whole["decile"].to_numpy().astype(np.int64), said, values)
        return cls(items, examples, kinds, np.cumsum([0, *(len(one.verdicts) for one in items)]))

    def of_item(self, place: int) -> _Examples:
        return self.examples.chosen(slice(self.ends[place], self.ends[place + 1]))


class _Rows:
    """Rows of measures, which may come in any order of items."""

    def __init__(self) -> None:
        self._parts: list[tuple[Any, ...]] = []

    def add(
        self,
        items: NDArray[np.int64] | Sequence[int],
        names: Sequence[str],
        of: Sequence[str],
        found: bootstrap.Figures,
        n: NDArray[np.int64] | Sequence[int],
        reasons: Sequence[str | None],
    ) -> None:
        """Takes rows; a reason is that of a value, should there be none."""
        self._parts.append((items, names, of, *found, n, reasons))

    def table(self, items: Sequence[Judged]) -> pa.Table:
        """Returns them by item, those of an item in the order in which they came (``measures_schema``)."""
        if not self._parts:
            return measures_schema().empty_table()
        places, names, of, value, low, high, n, reasons = zip(*self._parts, strict=True)
        owners = np.concatenate(places)
        order = np.argsort(owners, kind="stable")
        numbers = [np.concatenate(part)[order] for part in (value, low, high)]
        texts = [pa.array(list(chain.from_iterable(part)), pa.string()) for part in (names, of, reasons)]
        metric, what, why = (column.take(pa.array(order)) for column in texts)
        undefined = pa.array(np.isnan(numbers[0]))
        columns = [
            *_keys(items, owners[order]),
            metric,
            what,
            *(pa.array(part, pa.float64(), from_pandas=True) for part in numbers),
            pa.array(np.concatenate(n)[order], pa.int32()),
            pc.if_else(undefined, why, pa.scalar(None, pa.string())),
        ]
        return pa.Table.from_arrays(columns, schema=measures_schema())


def _keys(items: Sequence[Judged], places: NDArray[np.int64]) -> list[pa.Array]:
    """The columns explanation and latent of rows that are of items at such places."""
    of = pa.array(places)
    explanations = pa.array([one.item.control for one in items], pa.string())
    return [explanations.take(of), pa.array([one.item.examples.latent for one in items], pa.int32()).take(of)]


def _summary(judged: Iterable[Judged], seed: int, headline: Metric) -> Summary:
    columns = _Columns.of(judged)
    rows = _Rows()
    main: list[tuple[bootstrap.Figures, Sequence[str | None]]] = []
    scored: list[NDArray[np.int64]] = []
    for begin in range(0, len(columns.items), AT_ONCE):
        places = range(begin, min(begin + AT_ONCE, len(columns.items)))
        generators = [np.random.default_rng([seed, columns.items[i].item.examples.latent, 0xB007]) for i in places]
        if headline != AUROC:
            found, n = _classified(columns, places, generators, rows)
            main.append(found)
            scored.append(n)
        for place, generator in zip(places, generators, strict=True):
            examples = columns.of_item(place)
            if headline == AUROC or np.isfinite(examples.values).any():
                ranking = list(_ranked(columns, place, examples, generator, deciles=headline == AUROC))
                metric, of, figures, ns = zip(*ranking, strict=True)
                reasons = [figure.reason for figure in figures]
                rows.add([place] * len(ranking), metric, of, _stacked(figures), ns, reasons)
                if headline == AUROC:
                    main.append((_stacked(figures[:1]), reasons[:1]))
                    scored.append(np.array([np.isfinite(examples.values).sum()]))
    return Summary(_scores(columns, main, scored), rows.table(columns.items))


def _scores(
    columns: _Columns,
    main: Sequence[tuple[bootstrap.Figures, Sequence[str | None]]],
    scored: Sequence[NDArray[np.int64]],
) -> pa.Table:
    """The headlines ``main`` with their reasons, and how many examples each rests on."""
    if not main:
        return scores_schema().empty_table()
    value, low, high = (np.concatenate(part) for part in zip(*(found for found, _ in main), strict=True))
    reasons = pa.array(list(chain.from_iterable(reasons for _, reasons in main)), pa.string())
    n = np.concatenate(scored)
    arrays = [
        *_keys(columns.items, np.arange(len(columns.items))),
        *(pa.array(part, pa.float64(), from_pandas=True) for part in (value, low, high)),
        pa.array(n, pa.int32()),
        pa.array(np.diff(columns.ends) - n, pa.int32()),
        pc.if_else(pa.array(np.isnan(value)), reasons, pa.scalar(None, pa.string())),
    ]
    return pa.Table.from_arrays(arrays, schema=scores_schema())


def _stacked(figures: Iterable[Figure]) -> bootstrap.Figures:
    numbers = [[np.nan if number is None else number for number in figure[:3]] for figure in figures]
    return bootstrap.Figures(*np.array(numbers, np.float64).reshape(-1, 3).T)


def _classified(
    columns: _Columns, places: range, generators: Sequence[np.random.Generator], rows: _Rows
) -> tuple[tuple[bootstrap.Figures, Sequence[str | None]], NDArray[np.int64]]:
    """Adds what verdicts on the items at ``places`` come to; returns the headlines, and how many verdicts each rests on."""
    m, sorts, kinds = len(places), 1 + len(columns.kinds), columns.kinds
    begin, end = columns.ends[places[0]], columns.ends[places[-1] + 1]
    part = columns.examples.chosen(slice(begin, end))
    owners = np.repeat(np.arange(m), np.diff(columns.ends[places[0] : places[-1] + 2]))
    counted = np.isfinite(part.said)
    part, owners = part.chosen(counted), owners[counted]

    def counts(of: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """[items, width] how many there are of each, and how many of them are said to be active."""
        cells = owners * width + of
        n, yes = (np.bincount(cells, weights, m * width).reshape(m, width) for weights in (None, part.said))
        return n, yes.astype(np.int64)

    n, yes = counts(1 + part.kinds, sorts)
    drawn = np.zeros((m, sorts, 1 + bootstrap.RESAMPLES))
    for item, (ns, ys, generator) in enumerate(zip(n.tolist(), yes.tolist(), generators, strict=True)):
        for sort in range(sorts):
            if ns[sort]:
                drawn[item, sort] = metrics.drawn_calls(Calls(ys[sort], ns[sort]), generator)
    rates = [columns.items[place].item.examples.rate for place in places]
    random = 1 + kinds.index("random") if "random" in kinds else None
    of_all = metrics.rates(n, drawn, random, np.array([np.nan if rate is None else rate for rate in rates]))
    reasons = metrics.reasons_of(n, random, [rate is not None for rate in rates])
    total, items = n.sum(axis=1), np.arange(places[0], places[-1] + 1)
    headline = None
    for metric, values in of_all.items():
        found = bootstrap.figures(values)
        headline = headline or (found, reasons[metric])
        rows.add(items, [metric] * m, [ALL] * m, found, total, reasons[metric])
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = yes / n
    for place, kind in enumerate(kinds, 1):
        if kind:
            specificity = 1 - shares[:, place]
            both = (shares[:, 0] + specificity) / 2
            name = f"negatives {kind}"
            _plain(rows, items, "specificity", name, specificity, n[:, place], n[:, place])
            _plain(rows, items, "balanced_accuracy", name, both, n[:, 0] + n[:, place], n[:, place], metrics.NO_ACTIVE)
    deciles, right = counts(np.where(part.active, part.deciles, 0), 1 + DECILES[-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = right / deciles
    for decile in DECILES:
        of_decile = deciles[:, decile]
        _plain(rows, items, "sensitivity", f"decile {decile}", sensitivity[:, decile], of_decile, of_decile)
    assert headline is not None
    return headline, total


def _plain(
    rows: _Rows,
    items: NDArray[np.int64],
    metric: str,
    of: str,
    values: NDArray[np.float64],
    n: NDArray[np.int64],
    where: NDArray[np.int64],
    reason: str | None = None,
) -> None:
    """Adds figures without an interval of the items of which there is anything."""
    there = np.flatnonzero(where)
    none = np.full(len(there), np.nan)
    m = len(there)
    rows.add(items[there], [metric] * m, [of] * m, bootstrap.Figures(values[there], none, none), n[there], [reason] * m)


Found = tuple[str, str, Figure, int]
"""A metric, the examples that it is of, its figure, and how many they are."""


def _ranked(
    columns: _Columns, place: int, examples: _Examples, generator: np.random.Generator, deciles: bool
) -> Iterator[Found]:
    rate = columns.items[place].item.examples.rate
    judged = examples.chosen(np.isfinite(examples.values))
    active, others = judged.values[judged.active], judged.values[~judged.active]
    there = np.unique(judged.kinds[~judged.active]).tolist()
    of_kind = {columns.kinds[kind]: judged.values[judged.kinds == kind] for kind in there}
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
