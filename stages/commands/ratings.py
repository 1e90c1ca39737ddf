"""``glossa ratings``: what people's ratings of explanations come to, by explainer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from stages import params, paths
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.machine.columns import columns
from stages.machine.counted import counted
from stages.rating import file, texts
from stages.rating.questions import sha256_of
from stages.rating.summary import Summary, summary

HEAD = ("explainer", "mean", "95 % interval", "latents", "ratings")


@click.command("ratings")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
def command(files: tuple[Path, ...]) -> None:
    """Say what the ratings in FILES (of glossa rate --into) come to: the mean of every explainer, and whether raters agree.

    Raters are told apart by --by and, where nobody was named, by their files.
    """
    p = params.load()
    rated = {str(path): file.read(path, rated=True) for path in files}
    sampled = [coder for coder in p.coders if paths.examples(coder).is_dir()]
    coders = {coder: sha256_of(Examples.open(paths.examples(coder))) for coder in sampled}
    found = summary(rated, coders, lambda coder: texts.of_coder(p, coder), p.seed)
    if not found.explainers and not found.left_out:
        raise GlossaError(
            f"expected ratings in {', '.join(map(str, files))}, but there are none; rate some by glossa rate"
        )
    for line in _lines(found):
        click.echo(line)


def _lines(found: Summary) -> Iterator[str]:
    rows = [HEAD]
    for explainer, rated in found.explainers.items():
        interval = f"{rated.mean.low:.2f} to {rated.mean.high:.2f}"
        rows.append((explainer, f"{rated.mean.value:.2f}", interval, f"{rated.latents:,}", f"{rated.ratings:,}"))
    for number, line in enumerate(columns(rows)):
        yield click.style(line, bold=not number)
    scale = ", ".join(f"{rating} {meaning.split(':')[0]}" for rating, meaning in file.SCALE.items())
    yield ""
    yield f"Ratings are {scale}; intervals are over latents."
    agreed, n = found.agreement, len(found.raters)
    if agreed.n:
        alpha = agreed.alpha
        value = f"{alpha.value:.2f}" if alpha.value is not None else f"undefined, {alpha.reason}"
        interval = (
            "" if alpha.low is None or alpha.high is None else f", 95 % interval {alpha.low:.2f} to {alpha.high:.2f}"
        )
        yield (
            f"{counted(n, 'rater')}, {counted(agreed.n, 'explanation')} rated by several: Krippendorff's alpha {value}{interval}; "
            f"two raters gave the same in {100 * (agreed.same or 0):.0f} %."
        )
    for why, count in sorted(found.left_out.items()):
        yield f"{count:,} left out: they {why}."
