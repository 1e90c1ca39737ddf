"""``glossa show``: what is known of one latent, in a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import click

from stages import params, plan
from stages.commands import shading
from stages.commands.wrapped import wrapped
from stages.corpus.alone import alone
from stages.corpus.tokens import Tokens, Vocabulary
from stages.errors import check_name
from stages.examples import named
from stages.examples.table import LatentExamples
from stages.results import imports, measures, reading
from stages.results.shown import Documents, ShownWindow, shown_windows
from stages.scorers.metrics import called
from stages.scorers.table import ALL
from stages.text.display import sentence, visible

NOT_RUN = "- not run yet"


@click.command("show")
@click.argument("coder")
@click.argument("latent", type=click.IntRange(min=0))
@click.option("--examples", "n_windows", type=click.IntRange(min=1), help="Windows to show [default: report.examples].")
def command(coder: str, latent: int, n_windows: int | None) -> None:
    """Show LATENT of CODER: facts, explanations with their scores, and examples."""
    p = params.load()
    check_name("coder", coder, p.coders)
    found = reading.read_coder(p, coder, latent, unfinished=True)
    example = named.one(found.examples(), coder, latent)
    tokens = Tokens.open()
    windows = shown_windows(example, n_windows or p.report.examples, tokens, Documents(tokens.documents))
    in_colour = shading.is_terminal()
    shade: shading.Shade = shading.coloured if in_colour else shading.bracketed
    width = shutil.get_terminal_size().columns if in_colour else None
    for line in (
        *_facts(found, example),
        *_explanations(p, found, latent),
        *_output_tokens(example.facts, tokens.vocabulary),
        *_places(found, example.facts, tokens.vocabulary),
        *_windows(windows, example.facts["max"], shade),
    ):
        click.echo(line if width is None else wrapped(line, width), color=in_colour)


def _facts(found: reading.CoderResults, example: LatentExamples) -> Iterator[str]:
    facts = example.facts
    title = click.style(f"{found.name}, latent {example.latent}", bold=True)
    yield f"{title}  {click.style(found.hookpoint, dim=True)}"
    yield (
        f"fires on {facts['count']:,} tokens ({100 * facts['density']:.3g} %) in {facts['n_windows']:,} windows, "
        f"mean activation {facts['mean']:.3g}, maximum {facts['max']:.3g}"
    )


def _explanations(p: params.Params, found: reading.CoderResults, latent: int) -> Iterator[str]:
    of_latents = plan.scorers_of_latents(p)
    for explainer in p.explainers:
        title = click.style(f"Explanation by {explainer}", bold=True)
        yield ""
        if explainer not in found.explanations:
            yield title
            yield f"  {NOT_RUN}"
            continue
        made = imports.said(p, [found], explainer)
        yield f"{title}  {click.style(made, dim=True)}" if made else title
        explained = found.explanations[explainer].get(latent)
        if explained is None or explained.text is None:
            yield f"  none: {(explained.reason if explained else None) or reading.NO_REASON}"
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


def _lines(coder: str, explainer: str, scorer: str, scores: reading.Scores | None, latent: int) -> Iterator[str]:
    """The score, and on a second line what else is measured."""
    if scores is None:
        yield f"  {click.style(f'{scorer:<12}', dim=True)} {NOT_RUN}"
        return
    yield f"  {click.style(f'{scorer:<12}', dim=True)} {_score(scores, latent)}"
    more = reading.measures_of(coder, explainer, scorer, latent)
    headline = scores.meta["metric"]
    parts = [
        f"{called(metric)} {value:.2f}"
        for metric in measures.MEASURES
        if metric != headline and (value := more.get((metric, ALL))) is not None
    ]
    kinds = {
        of.removeprefix(reading.NEGATIVES): value
        for (metric, of), value in more.items()
        if metric == headline and of.startswith(reading.NEGATIVES) and value is not None
    }
    harder = [f"{kind} {kinds[kind]:.2f}" for kind in measures.in_order(kinds)]
    if len(harder) > 1:
        parts.append(f"by negatives: {', '.join(harder)}")
    if parts:
        yield click.style(f"  {'':<12} {'; '.join(parts)}", dim=True)


def _score(scores: reading.Scores, latent: int) -> str:
    own, floor = scores.own.get(latent), scores.floor_of(latent)
    if own is None:
        return "outside this scorer's sample"
    if own.score is None:
        return f"unscored: {own.reason or reading.NO_REASON}"
    parts = [f"{click.style(f'{own.score:.2f}', bold=True)} {scores.metric}"]
    if own.low is not None and own.high is not None:
        parts.append(f"95 % interval {own.low:.2f} to {own.high:.2f}")
    parts.append("no floor" if floor is None else f"{scores.floor_name} {floor:.2f}")
    if own.unscored:
        parts.append(f"{own.unscored} of {own.n + own.unscored} examples unscored")
    return ", ".join(parts)


def _output_tokens(facts: dict[str, Any], vocabulary: Vocabulary) -> Iterator[str]:
    if not facts["top_tokens"]:
        return
    yield ""
    yield click.style("Output tokens", bold=True)
    for name, key in (("promoted", "top_tokens"), ("suppressed", "bottom_tokens")):
        texts = " ".join(_quoted(token, vocabulary) for token in facts[key])
        yield f"  {click.style(f'{name:<12}', dim=True)} {texts}"


def _places(found: reading.CoderResults, facts: dict[str, Any], vocabulary: Vocabulary) -> Iterator[str]:
    """What it promotes at each of the places that it writes to, where there are several."""
    if not facts.get("place_tokens"):
        return
    yield ""
    yield click.style("Written at", bold=True)
    for name, norm, tokens in zip(found.meta["writes"], facts["place_norms"], facts["place_tokens"], strict=True):
        texts = " ".join(_quoted(token, vocabulary) for token in tokens)
        yield f"  {click.style(f'{name}, norm {norm:.3g}', dim=True)}  {texts}"


def _quoted(token: int, vocabulary: Vocabulary) -> str:
    text = visible(alone(token, vocabulary))
    return repr(text) if "\ufffd" not in vocabulary.strings[token] else f"'{text}'"  # bytes are spelt as repr would


def _windows(windows: list[ShownWindow], maximum: float, shade: shading.Shade) -> Iterator[str]:
    yield ""
    yield click.style("Examples", bold=True)
    for window in windows:
        source = f"max {window.maximum:.3g}, decile {window.decile}, {window.role}, {window.document}"
        yield f"  {click.style(source, dim=True)}"
        yield "  " + "".join(shade(text, value / maximum) if value > 0 else text for text, value, _ in window.segments)
