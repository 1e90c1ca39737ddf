"""What makes explanations or scores doubtful as a whole, such as a model that repeats its prompt: beside the figures, wherever these are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stages import params, paths, plan
from stages.explainers import parroted
from stages.explainers import table as explanations_table
from stages.outputs import read_meta
from stages.scorers import table as scores_table
from stages.scorers import trusted


class Doubt(NamedTuple):
    """One thing to know before the figures are believed."""

    coder: str
    explainer: str
    said: str
    """A clause with its numbers."""


def doubts(p: params.Params) -> Iterator[Doubt]:
    """Yields what the stages noted, in the order of params.yaml, of the outputs that are here.

    Raises:
        GlossaError: the meta of an output is damaged or of another version.
    """
    for coder in p.coders:
        for explainer in p.explainers:
            folder = paths.explanations(coder, explainer)
            if folder.is_dir():
                meta = read_meta(folder, explanations_table.SCHEMA, explanations_table.VERSION)
                of = f"of {meta['latents']} explanations "
                yield from (Doubt(coder, explainer, f"{of}{said}") for said in parroted.doubts(meta))
    for coder, explainer, scorer in plan.wanted(p):
        folder = paths.scores(coder, explainer, scorer)
        if folder.is_dir():
            meta = scores_table.meta_of(folder)
            yield from (Doubt(coder, f"{explainer}, {scorer}", said) for said in trusted.doubts(meta))
