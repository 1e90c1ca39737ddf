"""The mean scores of all coders, with intervals and floors, as lines of a terminal: ``glossa scores``, and how stage ``report`` ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import click

from stages import paths, plan
from stages.machine.columns import columns
from stages.machine.counted import counted
from stages.outputs import read_meta
from stages.params import LATENT, Params
from stages.results.reading import Scores
from stages.scorers import table

NAMES = ("coder", "explainer")
HEAD = ("score", "95 % interval", "floor", "latents", "unscored")
NOTHING = "-"
NOT_RUN = "not run yet"


class Row(NamedTuple):
    """What a scorer makes of the explanations of a coder's latents by one explainer, or of the latents themselves."""

    scorer: str
    coder: str
    explainer: str
    """``latent`` where no explanation is needed."""
    metric: str | None
    """As people read it; None if it has not run."""
    score: float | None = None
    """The mean over latents; None if none has a score."""
    low: float | None = None
    high: float | None = None
    """Its 95 % interval."""
    floor: float | None = None
    """What other latents' explanations score, or guessing."""
    latents: int = 0
    """How many have a score."""
    unscored: int = 0
    """How many have none, though they were to be scored."""


def rows(p: Params) -> list[Row]:
    """Returns a row for every score stage of params.yaml, by scorer and then by coder.

    Raises:
        GlossaError: scores are damaged or of another version.
    """
    found: dict[str, list[Row]] = {name: [] for name in p.scorers}
    for coder, explainer, scorer in plan.wanted(p):
        found[scorer].append(_row(coder, explainer, scorer))
    return [row for some in found.values() for row in some]


def _row(coder: str, explainer: str, scorer: str) -> Row:
    folder = paths.scores(coder, explainer, scorer)
    if not folder.is_dir():
        return Row(scorer, coder, explainer, None)
    scores = Scores(read_meta(folder, table.SCHEMA, table.VERSION), {}, {})
    score, low, high, n = (scores.overall(key) for key in ("score", "low", "high", "n_latents"))
    return Row(
        scorer, coder, explainer, scores.metric, score, low, high, scores.overall_floor, n, scores.unscored["latents"]
    )


def lines(found: Sequence[Row], most: int | None = None) -> Iterator[str]:
    """Yields the rows as a table, a block for every scorer; a score is green whose interval lies above its floor.

    ``most`` rows at most are shown, and how many more there are.
    """
    shown = list(found[:most])
    heads = [*NAMES, *HEAD]
    left_out = set()
    if all(row.explainer == LATENT for row in shown):
        left_out.add("explainer")
    if not any(row.unscored for row in shown):
        left_out.add("unscored")
    kept = [place for place, head in enumerate(heads) if head not in left_out]
    heads, cells = [heads[place] for place in kept], [[_cells(row)[place] for place in kept] for row in shown]
    n_names = sum(head in NAMES for head in heads)
    before = [None, *shown]
    for row, last, texts in zip(shown, before, cells, strict=False):
        if last is not None and (row.scorer, row.coder) == (last.scorer, last.coder):
            texts[0] = ""
    head, *lines = (f"  {line}" for line in columns([heads, *cells], n_names))
    scorer = None
    for row, line in zip(shown, lines, strict=True):
        if row.scorer != scorer:
            if scorer is not None:
                yield ""
            title = f"{row.scorer}, {row.metric}" if row.metric else row.scorer
            yield click.style(title, bold=True)
            if scorer is None:
                yield click.style(head, dim=True)
        yield click.style(line, fg="green") if _is_above(row) else line
        scorer = row.scorer
    if len(found) > len(shown):
        yield f"… and {counted(len(found) - len(shown), 'row')} more: glossa scores"


def _cells(row: Row) -> tuple[str, ...]:
    if row.metric is None:
        return (row.coder, row.explainer, NOT_RUN, "", "", "", "")
    interval = NOTHING if row.low is None or row.high is None else f"{row.low:.3f} to {row.high:.3f}"
    numbers = (_number(row.score), interval, _number(row.floor), f"{row.latents:,}", f"{row.unscored:,}")
    return (row.coder, row.explainer if row.explainer != LATENT else NOTHING, *numbers)


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _is_above(row: Row) -> bool:
    return row.low is not None and row.floor is not None and row.low > row.floor


def records(found: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns the rows as JSON takes them."""
    return [row._asdict() for row in found]
