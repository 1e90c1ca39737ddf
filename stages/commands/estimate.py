"""``glossa estimate``: what the language models are asked when the pipeline runs, and what that costs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from stages import params
from stages.machine import runtime
from stages.machine.columns import columns

if TYPE_CHECKING:
    from stages.estimate.cost import Line

HEAD = ("", "calls", "known", "to send", "tokens in", "tokens out", "dollars", "at most", "from")
NOTES = {
    "sample": "sample: calculated from the questions of some of the latents",
    "params": "params: calculated from made-up examples, as there are none yet; latents that will be dropped count as well",
    "latent": "per latent: of one latent, as it is not known how many there will be",
    "assumed": "*: questions that hold what a model has yet to say; two lines are assumed of it",
    "price": "?: runtime.yaml has no price of that model, under endpoints.….prices",
}


@click.command("estimate")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(as_json: bool) -> None:
    """Count what ``dvc repro`` would ask of language models, and what that costs, before anything is sent.

    Known are the questions that the journal has an answer to. Not counted are questions that are asked again because an answer
    can't be read, and up to five small ones to every model before its first.
    """
    from stages.estimate.pending import Pending

    p = params.load()
    with ThreadPoolExecutor(1) as beside:  # DVC takes as long to start as what follows to import
        pending = beside.submit(Pending.from_dvc, p)
        from stages.estimate import cost, forecast
        from stages.llm.journal import elsewhere
        from stages.llm.journal.store import Journal

        with Journal.at_home() as journal:
            hint = elsewhere.hint(journal)
            found, counted = cost.lines(list(forecast.forecasts(p, pending.result(), journal)))
            budgets = list(_budgets(found, journal))
    if as_json:
        told = {
            "stages": [asdict(line) for line in found],
            "total": _total(found),
            "tokens": counted,
            "budgets": budgets,
        }
        click.echo(json.dumps(told, indent=1))
        return
    for text in _table(found):
        click.echo(text)
    for how in dict.fromkeys(counted.values()):
        click.echo(f"tokens in, {', '.join(model for model in counted if counted[model] == how)}: {how}")
    for budget in budgets:
        click.echo(_said(budget))
    if hint:
        click.echo(hint, err=True)


def _total(found: Sequence[Line]) -> dict[str, Any]:
    """The sums; of dollars, if all prices are known."""
    counted = [line for line in found if not line.per_latent]
    total: dict[str, Any] = {
        name: sum(getattr(line, name) for line in counted)
        for name in ("calls", "known", "to_send", "tokens_in", "tokens_out", "tokens_out_most")
    }
    priced = [line for line in counted if line.to_send]
    for name in ("dollars", "dollars_most", "dollars_batch"):
        values = [getattr(line, name) for line in priced]
        total[name] = None if None in values else sum(values)
    return total


def _table(found: Sequence[Line]) -> Iterator[str]:
    asking = [line for line in found if line.model is not None]
    if not found:
        yield "No explainer or scorer of params.yaml names a language model, so nothing is asked."
        return
    if asking:
        total = _total(asking)
        rows = [HEAD, *map(_row, asking), ("all", *_figures(total), "")]
        lines = columns([row[:-1] for row in rows])
        for number, (text, row) in enumerate(zip(lines, rows, strict=True)):
            yield click.style(f"{text}  {row[-1]}".rstrip(), bold=number in (0, len(rows) - 1))
        if total["dollars_batch"] not in (None, total["dollars"]):
            yield f"In batches: {_dollars(total['dollars_batch'])} dollars."
        yield from (NOTES[note] for note in NOTES if note in _notes(asking))
    for line in found:
        if line.model is None and line.basis != "up to date":
            yield f"{line.stage}: {line.basis}"
    if n := sum(line.basis == "up to date" for line in found):
        yield f"{n:,} {'stage that names' if n == 1 else 'stages that name'} a language model {'is' if n == 1 else 'are'} up to date."


def _row(line: Line) -> tuple[str, ...]:
    basis = "per latent" if line.per_latent else line.basis
    return (line.stage, *_figures(asdict(line)), f"{basis} *" if line.assumed else basis)


def _figures(values: dict[str, Any]) -> tuple[str, ...]:
    counts = (f"{values[name]:,}" for name in ("calls", "known", "to_send"))
    tokens = (_short(values[name]) for name in ("tokens_in", "tokens_out"))
    return (*counts, *tokens, *(_dollars(values[name]) for name in ("dollars", "dollars_most")))


def _notes(asking: Sequence[Line]) -> set[str]:
    notes = {line.basis for line in asking}
    notes |= {"latent"} if any(line.per_latent for line in asking) else set()
    notes |= {"assumed"} if any(line.assumed for line in asking) else set()
    return notes | ({"price"} if any(line.dollars is None for line in asking) else set())


def _short(n: int) -> str:
    """``12.3 k``: three digits, or a few more where no unit is needed."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= 10 * size or (n >= size and unit != "k"):
            return f"{n / size:.3g} {unit}" if n / size < 1000 else f"{n / size:,.0f} {unit}"
    return f"{n:,}"


def _dollars(value: float | None) -> str:
    return "?" if value is None else f"{value:,.2f}" if value >= 0.005 or not value else "< 0.01"


def _budgets(found: Sequence[Line], journal: Any) -> Iterator[dict[str, Any]]:
    """What the calls can take at most of every budget."""
    for name, endpoint in runtime.load().endpoints.items():
        asked = [line for line in found if line.endpoint == name and line.to_send and not line.per_latent]
        needed = {
            "calls": sum(line.to_send for line in asked),
            "tokens": sum(line.tokens_in + line.tokens_out_most for line in asked),
            "dollars": sum(line.dollars_most or 0.0 for line in asked),
        }
        spent = dict(zip(needed, journal.spent(name), strict=True))
        for unit, limit in endpoint.budget.model_dump(exclude_none=True).items() if asked else ():
            yield {"endpoint": name, "unit": unit, "limit": limit, "spent": spent[unit], "needed": needed[unit]}


def _said(budget: dict[str, Any]) -> str:
    left = budget["limit"] - budget["spent"]
    said = (
        f"budget of {budget['endpoint']}: {left:,.6g} of {budget['limit']:,.6g} {budget['unit']} left, and these calls take at most "
        f"{budget['needed']:,.6g}"
    )
    return said if budget["needed"] <= left else click.style(f"{said}; it may not be enough", fg="red")
