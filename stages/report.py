"""Stage ``report``: everything the earlier stages found -> results/metrics, results/plots, results/report, results/dataset."""

from __future__ import annotations

import click

from stages import params, paths
from stages.dataset import folder
from stages.figures import plots
from stages.outputs import dumps, new_directory, write_text
from stages.results import metrics, reading, scoreboard
from stages.site import write as site
from stages.wiring import made

READS = ("seed", "corpus", "subject", "sampling", "report", "coders", "explainers", "scorers")
"""Of params.yaml."""

ROWS = 40
"""Of the table of scores, that end the output of a run."""


@click.command("report")
def command() -> None:
    """Gather metrics, plots, pages and the data set to share."""
    p = params.only(params.load(), *READS)
    found = reading.read(p)
    with new_directory(paths.METRICS) as partial:
        for coder, figures in metrics.of_coders(found).items():
            write_text(partial / f"{coder}.json", dumps(figures))
    with new_directory(paths.PLOTS) as partial:
        plots.write(partial, found)
    with new_directory(paths.REPORT) as partial:
        site.write(partial, p, found)
    with new_directory(paths.DATASET) as partial:
        folder.write(partial, p, found)
    click.echo(f"report: {_summary(found)}; open {paths.REPORT / 'index.html'}")
    if warning := made.warning():
        click.echo(f"report: {warning}")
    for line in scoreboard.lines(scoreboard.rows(p), ROWS):
        click.echo(line)


def _summary(found: reading.Results) -> str:
    """The first scorer's score of every coder, or what there is without one."""
    explainer = found.explainers[0]
    if not found.scorers:
        explained = (f"{coder.name} {coder.explained(explainer)}" for coder in found.coders.values())
        return f"latents explained by {explainer}: {', '.join(explained)}"
    scorer = found.scorers[0]
    parts = []
    for coder in found.coders.values():
        scores = coder.scores[explainer][scorer]
        numbers = (scores.overall("score"), scores.overall_floor)
        score, floor = ("none" if number is None else f"{number:.2f}" for number in numbers)
        parts.append(f"{coder.name} {score} (floor {floor})")
    return f"{scorer} of {explainer}: {', '.join(parts)}"
