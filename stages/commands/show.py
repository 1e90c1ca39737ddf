"""``glossa show``: what is known of one latent, in a terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
import numpy as np

from stages import params, plan
from stages.commands.wrapped import wrapped
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, nearest
from stages.examples.table import Examples, LatentExamples
from stages.publish import measures, results
from stages.publish.shown import Documents, ShownWindow, shown_windows
from stages.publish.text import sentence, visible
from stages.scorers.table import ALL

SHADES = (223, 215, 208, 202)
"""Background colours of the 256-colour palette, for weak to strong activations; black reads well on each."""
BLACK = 16
NEAREST = 10
NOT_RUN = "- not run yet"

Shade = Callable[[str, float], str]


@click.command("show")
@click.argument("coder")
@click.argument("latent", type=click.IntRange(min=0))
@click.option("--examples", "n_windows", type=click.IntRange(min=1), help="Windows to show [default: report.examples].")
def command(coder: str, latent: int, n_windows: int | None) -> None:
    """Show LATENT of CODER: facts, explanations with their scores, and examples."""
    p = params.load()
    if coder not in p.coders:
        raise GlossaError(f"params.yaml has no coder {coder}; {nearest(coder, p.coders)}")
    found = results.read_coder(p, coder, latent, unfinished=True)
    example = _find(found.examples(), coder, latent)
    tokens = Tokens.open()
    windows = shown_windows(example, n_windows or p.report.examples, tokens, Documents(tokens.documents))
    in_colour = is_terminal()
    shade: Shade = _coloured if in_colour else _bracketed
    width = shutil.get_terminal_size().columns if in_colour else None
    for line in (
        *_facts(found, example),
        *_explanations(p, found, latent),
        *_output_tokens(example.facts, tokens.vocabulary.strings),
        *_windows(windows, example.facts["max"], shade),
    ):
        click.echo(line if width is None else wrapped(line, width), color=in_colour)


def is_terminal() -> bool:
    """Whether the output goes to a terminal whose user wants colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _find(examples: Examples, coder: str, latent: int) -> LatentExamples:
    n_latents = examples.meta["n_latents"]
    if latent >= n_latents:
        raise GlossaError(f"the coder {coder} has latents 0 to {n_latents - 1}, but no {latent}")
    sampled = examples.latents["latent"].to_numpy()
    place = int(np.searchsorted(sampled, latent))
    if place == len(sampled) or sampled[place] != latent:
        around = sampled[max(0, place - NEAREST) : place + NEAREST].tolist()
        close = sorted(sorted(around, key=lambda other: (abs(other - latent), other))[:NEAREST])
        listed = ", ".join(map(str, close)) or "none"
        raise GlossaError(
            f"latent {latent} of {coder} was not sampled; of the {len(sampled)} that were, the nearest are {listed}; "
            "choose one, or change sampling.latents in params.yaml"
        )
    if (dropped := examples.latents["dropped"][place].as_py()) is not None:
        raise GlossaError(f"latent {latent} of {coder} was sampled but dropped: {dropped}")
    return next(examples.of([latent]))


def _facts(found: results.CoderResults, example: LatentExamples) -> Iterator[str]:
    facts = example.facts
    title = click.style(f"{found.name}, latent {example.latent}", bold=True)
    yield f"{title}  {click.style(found.hookpoint, dim=True)}"
    yield (
        f"fires on {facts['count']:,} tokens ({100 * facts['density']:.3g} %) in {facts['n_windows']:,} windows, "
        f"mean activation {facts['mean']:.3g}, maximum {facts['max']:.3g}"
    )


def _explanations(p: params.Params, found: results.CoderResults, latent: int) -> Iterator[str]:
    of_latents = plan.scorers_of_latents(p)
    for explainer in p.explainers:
        yield ""
        yield click.style(f"Explanation by {explainer}", bold=True)
        if explainer not in found.explanations:
            yield f"  {NOT_RUN}"
            continue
        explained = found.explanations[explainer].get(latent)
        if explained is None or explained.text is None:
            yield f"  none: {(explained.reason if explained else None) or results.NO_REASON}"
            continue
        yield f"  {sentence(explained.text)}"
        for scorer in p.scorers:
            if scorer not in of_latents:
                yield from _lines(found.name, explainer, scorer, found.scores[explainer].get(scorer), latent)
    if of_latents:
        yield ""
        yield click.style("Whatever its explanation", bold=True)
        for scorer in of_latents:
            yield from _lines(found.name, params.LATENT, scorer, found.of_latents.get(scorer), latent)


def _lines(coder: str, explainer: str, scorer: str, scores: results.Scores | None, latent: int) -> Iterator[str]:
    """The score, and on a second line what else is measured."""
    if scores is None:
        yield f"  {click.style(f'{scorer:<12}', dim=True)} {NOT_RUN}"
        return
    yield f"  {click.style(f'{scorer:<12}', dim=True)} {_score(scores, latent)}"
    more = results.measures_of(coder, explainer, scorer, latent)
    headline = scores.meta["metric"]
    parts = [
        f"{results.called(metric)} {value:.2f}"
        for metric in measures.MEASURES
        if metric != headline and (value := more.get((metric, ALL))) is not None
    ]
    kinds = {
        of.removeprefix(results.NEGATIVES): value
        for (metric, of), value in more.items()
        if metric == headline and of.startswith(results.NEGATIVES) and value is not None
    }
    harder = [f"{kind} {kinds[kind]:.2f}" for kind in measures.in_order(kinds)]
    if len(harder) > 1:
        parts.append(f"by negatives: {', '.join(harder)}")
    if parts:
        yield click.style(f"  {'':<12} {'; '.join(parts)}", dim=True)


def _score(scores: results.Scores, latent: int) -> str:
    own, floor = scores.own.get(latent), scores.floor_of(latent)
    if own is None:
        return "outside this scorer's sample"
    if own.score is None:
        return f"unscored: {own.reason or results.NO_REASON}"
    parts = [f"{click.style(f'{own.score:.2f}', bold=True)} {scores.metric}"]
    if own.low is not None and own.high is not None:
        parts.append(f"95 % interval {own.low:.2f} to {own.high:.2f}")
    parts.append("no floor" if floor is None else f"{scores.floor_name} {floor:.2f}")
    if own.unscored:
        parts.append(f"{own.unscored} of {own.n + own.unscored} examples unscored")
    return ", ".join(parts)


def _output_tokens(facts: dict[str, Any], strings: list[str]) -> Iterator[str]:
    if not facts["top_tokens"]:
        return
    yield ""
    yield click.style("Output tokens", bold=True)
    for name, key in (("promoted", "top_tokens"), ("suppressed", "bottom_tokens")):
        texts = " ".join(repr(visible(strings[token])) for token in facts[key])
        yield f"  {click.style(f'{name:<12}', dim=True)} {texts}"


def _windows(windows: list[ShownWindow], maximum: float, shade: Shade) -> Iterator[str]:
    yield ""
    yield click.style("Examples", bold=True)
    for window in windows:
        source = f"max {window.maximum:.3g}, decile {window.decile}, {window.role}, {window.document}"
        yield f"  {click.style(source, dim=True)}"
        yield "  " + "".join(shade(text, value / maximum) if value > 0 else text for text, value, _ in window.segments)


def _coloured(text: str, level: float) -> str:
    step = min(len(SHADES) - 1, int(level * len(SHADES)))
    return click.style(text, fg=BLACK, bg=SHADES[step])


def _bracketed(text: str, level: float) -> str:
    return f"«{text}»"
