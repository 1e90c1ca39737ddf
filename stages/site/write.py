"""results/report: pages, what they load, and the table of matches."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from stages import plan
from stages.outputs import write_table
from stages.params import LATENT, Params
from stages.results import relations
from stages.results.doubts import doubts
from stages.results.reading import Results
from stages.site import assets, overview, work
from stages.site.coder import Coder
from stages.site.manifest import made, manifest
from stages.site.picked import picked
from stages.site.shards import save
from stages.site.work import Asked, Shards

ASSETS = Path(assets.__file__).parent
AT_ONCE = 16
"""Shards in a piece of work."""


def write(directory: Path, p: Params, results: Results) -> None:
    """Writes the report into ``directory``, which is there and empty.

    Raises:
        GlossaError: an output of an earlier stage is missing, damaged or of another version.
    """
    write_table(directory / "matches.parquet", relations.scored_matches(results))
    copy_assets(directory)
    data = directory / "data"
    coders = {name: Coder(results, name, p.report.examples) for name in results.coders}
    asked = list(stages(results))
    pieces = [piece for name, coder in coders.items() for piece in _pieces(name, coder.plan.numbers)]
    n = work.processes(sum(len(coder.plan.kept) for coder in coders.values()))
    found = list(work.done([*asked, *pieces], data, results, p.report.examples, n))
    for coder in coders.values():
        coder.write_table(data)
    save(data, "manifest", manifest(p, results, {name: coder.manifest() for name, coder in coders.items()}))
    costs = dict(zip(asked, found, strict=False))
    (directory / "index.html").write_text(
        overview.index(
            results, costs, made(p, results), picked(results, p.seed), plan.foreign_judges(p), list(doubts(p))
        ),
        encoding="utf-8",
    )
    (directory / "similar-latents.html").write_text(overview.similar_latents(results), encoding="utf-8")


def copy_assets(directory: Path) -> None:
    """Copies pages to the top of the report and what they load into ``assets``."""
    (directory / "assets").mkdir()
    for file in sorted(ASSETS.iterdir()):
        if file.suffix == ".html":
            shutil.copyfile(file, directory / file.name)
        elif file.suffix in (".css", ".js"):
            shutil.copyfile(file, directory / "assets" / file.name)


def stages(results: Results) -> Iterator[Asked]:
    """Yields the stages that may have asked language models."""
    for coder in results.coders.values():
        yield from (Asked(coder.name, explainer, None) for explainer in coder.explanations)
        for explainer, scorers in [*coder.scores.items(), (LATENT, coder.of_latents)]:
            yield from (Asked(coder.name, explainer, scorer) for scorer in scorers)


def _pieces(coder: str, numbers: range) -> Iterator[Shards]:
    for first in range(0, len(numbers), AT_ONCE):
        yield Shards(coder, numbers[first : first + AT_ONCE])
