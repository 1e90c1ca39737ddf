"""An explain or score stage as it would run, with models that ask nobody; it writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from stages import explainers, llm, scorers
from stages.corpus.tokens import Tokens
from stages.estimate.pending import Stage
from stages.examples.table import LatentExamples
from stages.explainers.table import Explanation
from stages.llm.rehearsal import Rehearsal
from stages.params import LATENT, Params
from stages.scorers import Context, run


def asks(entry: dict[str, Any]) -> bool:
    """Whether an entry of explainers or scorers names a language model other than the built-in one."""
    return any(isinstance(value, dict) and value.get("provider", "pattern") != "pattern" for value in entry.values())


def explain(
    p: Params, explainer: str, rehearsal: Rehearsal, latents: Iterable[LatentExamples], tokens: Tokens
) -> list[Explanation]:
    """Returns what an explainer would say of ``latents``."""
    unit = explainers.load(explainer, p.explainers[explainer])
    with llm.standing_in(rehearsal):
        return list(unit.explain(latents, tokens))


def score(
    p: Params,
    stage: Stage,
    rehearsal: Rehearsal,
    sample: Any,
    texts: dict[int, str],
    tokens: Tokens,
    most: int | None = None,
) -> tuple[int, int]:
    """Has the stage's scorer judge the explanations ``texts``, or no more than ``most`` of them.

    Returns how many were judged, of how many; those of other latents, which make the floor, count as well.
    """
    assert stage.scorer is not None
    scorer = scorers.load(stage.scorer, p.scorers[stage.scorer])
    with llm.standing_in(rehearsal):
        context = Context(tokens.vocabulary, p.seed, stage.coder, p)
        items = list(run.Items.choose(scorer, sample, texts, context, with_floor=stage.explainer != LATENT))
        of = len(items)
        if most is not None and of > most:
            chosen = np.random.default_rng(0).choice(of, most, replace=False)
            items = [items[place] for place in sorted(chosen)]
        if items:
            scorer.ask(items, context)
    return len(items), of
