"""``glossa coder``: what there is to know of a sparse coder before its activations are cached."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from stages import params, paths, plan
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, check_name
from stages.machine import runtime
from stages.machine.progress import bar
from stages.outputs import dumps

if TYPE_CHECKING:
    from torch import Tensor

    from stages.coders.beginnings import Beginnings
    from stages.coders.check import Check
    from stages.coders.sparse_coder import SparseCoder
    from stages.subject.load import Subject

TOKENS = 65_536


@click.group("coder")
def command() -> None:
    """Look at a sparse coder of params.yaml."""


@command.command("check")
@click.argument("coder")
@click.option(
    "--tokens", "n_tokens", type=click.IntRange(min=1), default=TOKENS, show_default=True, help="Tokens to use."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(coder: str, n_tokens: int, as_json: bool) -> None:
    """Measure CODER on a sample of the corpus, and say whether another reading of its files would fit better.

    Prints the number of active latents beside the published one, the variance that is not reconstructed (FVU) beside that
    of wrong readings, the loss that the reconstruction recovers, latents that never fire, and norms.
    """
    p = params.load()
    check_name("coder", coder, p.coders)
    if not paths.TOKENS.exists():
        raise GlossaError(
            f"expected the corpus as tokens in {paths.TOKENS}, but there is no such folder; run dvc repro tokenize"
        )
    tokens = Tokens.open()

    import torch

    from stages.coders import beginnings, opened
    from stages.coders.check import BATCH_TOKENS, measure
    from stages.machine.memory import is_out_of_memory

    subject = opened.subject(p, coder)
    rows = sample(tokens.rows, -(-n_tokens // tokens.context_length))
    ids = torch.from_numpy(np.asarray(tokens.array.oindex[rows], dtype=np.int64))
    subject.check_fits(tokens.context_length, int(ids.max()))
    loaded = opened.coder(p, coder, subject)
    special = torch.from_numpy(tokens.vocabulary.special)
    skipped = plan.skipped(p.sampling, tokens.meta["bos"])
    batch_tokens = runtime.load().batch_tokens or BATCH_TOKENS
    with bar("check", ids.numel(), "token") as progress:
        try:
            found = measure(subject, loaded, ids, special, batch_tokens, progress.update, skipped)
            fits = _beginnings(p, tokens, subject, loaded, ids, special, skipped)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise GlossaError(
                f"expected memory for {batch_tokens:,} tokens at once; set batch_tokens in runtime.yaml lower"
            ) from None
    if as_json:
        facts = {"coder": coder, "source": loaded.source, "identity": loaded.identity, "latents": loaded.n_latents}
        click.echo(dumps({**facts, "rows": len(rows), **asdict(found), "beginnings": _plain(fits)}), nl=False)
        return
    in_colour = False if os.environ.get("NO_COLOR") else None  # if it is a terminal
    untrained = plan.subject_of(p, coder).weights == "random"
    first = None if tokens.meta["bos"] is None else tokens.vocabulary.strings[tokens.meta["bos"]]
    wrong = beginnings.said(loaded.source, loaded.prepend_bos, first, fits and fits.bos)
    click.echo("\n".join(_lines(coder, loaded, found, len(rows), untrained, fits, wrong)), color=in_colour)


def _beginnings(
    p: params.Params, tokens: Tokens, subject: Subject, coder: SparseCoder, ids: Tensor, special: Tensor, skipped: int
) -> Beginnings | None:
    """How the coder fits rows that begin otherwise; None where there is no token to begin with, or nothing to compare."""
    from stages.coders import beginnings
    from stages.corpus.encode import find_tokenizer

    if (bos := tokens.meta["bos"]) is not None:
        return beginnings.compare(subject, coder, ids, special, bos, tokens.vocabulary.strings[bos])
    tokenizer, _ = find_tokenizer(p.subject.model, p.subject.revision)
    if tokenizer is None or (name := beginnings.token(tokenizer)) is None:
        return None
    return beginnings.compare(subject, coder, ids, special, tokenizer.get_vocab()[name], name, skipped)


def _plain(fits: Beginnings | None) -> dict[str, Any] | None:
    if fits is None:
        return None
    return {**fits._asdict(), "behind": fits.behind._asdict(), "without": fits.without._asdict(), "better": fits.better}


def sample(n: int, wanted: int) -> np.ndarray:
    """Returns ``wanted`` of ``n`` rows, or all, evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, n - 1, min(n, wanted)).round().astype(np.int64))


def _lines(
    name: str,
    coder: SparseCoder,
    found: Check,
    rows: int,
    untrained: bool = False,
    fits: Beginnings | None = None,
    wrong: str | None = None,
) -> Iterator[str]:
    place = f"reads {found.reads}" + (" of a subject never trained" if untrained else "")
    if found.reconstructs != found.reads:
        place += f", reconstructs {found.reconstructs}"
    form = coder.identity.get("format", "")
    yield f"{click.style(name, bold=True)}  {form}, {coder.n_latents:,} latents, {place}"
    yield f"{found.tokens:,} tokens in {rows:,} rows, beside {found.special:,} special {'or first ' if found.skipped else ''}ones, which don't count"
    yield ""
    published = "not published" if found.published_l0 is None else f"published {found.published_l0:g}"
    yield _fact("L0", f"{found.l0:.1f}", f"active latents a token; {published}")
    fvu = found.undefined.get("fvu")
    yield _fact("FVU", _number(found.fvu), fvu or "of the variance is not reconstructed")
    yield _recovered(found)
    if found.first is not None:
        how = "with the first column of rows" if found.skipped else "without the first column of rows"
        yield _fact(
            "first column",
            _number(found.first),
            f"FVU {how}, {_number(found.fvu)} {'without' if found.skipped else 'with'} it",
        )
    if fits is not None:
        yield _fact("rows begin", _number(fits.own.fvu), _beginning(fits))
    yield _fact("dead", f"{100 * found.dead:.1f} %", "of the latents fire on none of these tokens")
    yield ""
    yield click.style(f"  {'norms':<14}{'mean':>9}{'5 %':>9}{'95 %':>9}", dim=True)
    for what, spread in found.norms.items():
        yield f"  {what:<14}" + "".join(f"{_norm(value):>9}" for value in (spread.mean, spread.p5, spread.p95))
    yield ""
    yield click.style("  FVU of wrong readings", dim=True)
    for variant in found.variants:
        yield f"  {_number(variant.fvu):<14} {variant.what}{click.style('  better', fg='red') if variant.better else ''}"
    if "variants" in found.undefined:
        yield f"  {'none':<14} {found.undefined['variants']}"
    yield ""
    yield from _verdict(found, fits, wrong)


def _fact(name: str, value: str, unit: str) -> str:
    return f"  {name:<15}{click.style(f'{value:<9}', bold=True)}{unit}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}" if value < 1000 else f"{value:.3g}"


def _norm(value: float) -> str:
    return f"{value:#.3g}" if value < 1000 else f"{value:,.0f}"


def _recovered(found: Check) -> str:
    loss = found.loss
    if loss is None:
        return _fact("loss recovered", "none", found.undefined["loss"])
    nats = f"{loss.clean:.3f} nats a token, {loss.spliced:.3f} reconstructed, {loss.zero:.3f} zeroed"
    if loss.recovered is None:
        return _fact("loss recovered", "none", f"{found.undefined['loss recovered']} ({nats})")
    return _fact("loss recovered", f"{100 * loss.recovered:.1f} %", nats)


def _beginning(fits: Beginnings) -> str:
    """What the FVU of rows that begin as they do, and otherwise, is."""
    how = [f"behind {fits.bos}", "without it"]
    own, other = how if fits.is_there else reversed(how)
    recovered = [fit.recovered for fit in (fits.own, fits.other)]
    shares = (
        "" if None in recovered else "; loss recovered " + ", ".join(f"{100 * (one or 0):.1f} %" for one in recovered)
    )
    return f"FVU {own}, {_number(fits.other.fvu)} {other}{shares}"


def _verdict(found: Check, fits: Beginnings | None, wrong: str | None) -> Iterator[str]:
    """What a reader should conclude, in words."""
    from stages.coders.doubt import WORST

    warnings = [] if wrong is None else [wrong]
    if (least := _least(found, fits)) is not None and least > WORST:
        warnings.append(
            f"all readings that were tried leave {_number(least)} of the variance or more; is it the right subject, hookpoint and corpus?"
        )
    if fits is not None and fits.better:
        rows, value = ("without", "none") if fits.is_there else ("behind", fits.bos)
        warnings.append(
            f"rows {rows} {fits.bos}: FVU {_number(fits.other.fvu)} is better than {_number(fits.own.fvu)}; set corpus.bos: {value}"
        )
    if found.first_is_better:
        warnings.append(
            f"without the first column of rows: FVU {_number(found.first)} is better than {_number(found.fvu)}; set sampling.skip_first: 1"
        )
    if found.l0_is_off and found.published_l0:
        percent = 100 * (found.l0 / found.published_l0 - 1)
        warnings.append(
            f"L0 is {abs(percent):.0f} % {'above' if percent > 0 else 'below'} the published {found.published_l0:g}: "
            "is it the right subject, hookpoint and precision?"
        )
    for variant in sorted((v for v in found.variants if v.better), key=lambda v: v.fvu or 0):
        warnings.append(
            f"{variant.what}: FVU {_number(variant.fvu)} is better than {_number(found.fvu)}; {variant.remedy}"
        )
    for warning in warnings:
        yield click.style(warning, fg="red")
    if not warnings:
        yield click.style(_peace(found), fg="green")


def _least(found: Check, fits: Beginnings | None) -> float | None:
    """The FVU of the best reading of a coder that may be misread."""
    if found.fvu is None or not found.variants:
        return None
    others = [variant.fvu for variant in found.variants] + [found.first] + ([fits.other.fvu] if fits else [])
    return min([found.fvu, *(one for one in others if one is not None)])


def _peace(found: Check) -> str:
    if found.variants:
        return "No wrong reading reconstructs better."
    return "There is nothing to compare it with." if found.published_l0 is None else "L0 is as published."
