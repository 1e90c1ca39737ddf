"""What raising a latent does to the next token in texts on which it fires (arXiv 2501.08319, TokenChange): the subject run anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import click
import numpy as np
from pydantic import Field

from stages.corpus.tokens import Tokens
from stages.examples import prompts
from stages.examples.table import LatentExamples
from stages.explainers import shown
from stages.params import Params, Section

if TYPE_CHECKING:
    from stages.coders.edits import Editor
    from stages.examples.origin import Origin
    from stages.subject.steering import Steering

PER_QUINTILE = 2
"""Train windows of each fifth by strength that a latent is raised in: ten in all."""


class Boosting(Section):
    """The option of the explainers that show what raising a latent boosts."""

    boosted: Annotated[int, Field(ge=0, le=50)] = 0
    """How many tokens are shown whose probability rises most when the latent is raised; with 0 the subject is not needed."""

    def prepare(self, latents: Iterable[LatentExamples], p: Params, coder: str) -> Iterator[LatentExamples]:
        """Yields the latents with the tokens among their facts, as ``boosted_tokens`` and ``boosted_values``.

        A latent is raised by its own maximum over the corpus at the last token of each of up to ten train windows, cut behind the
        first token on which it fires; a token's value is the mean rise of its probability. A latent that can't be raised has none.

        Raises:
            GlossaError: the subject or the coder can't be loaded, or is another than the examples were taken from.
        """
        if not self.boosted:
            yield from latents
            return
        from stages.coders.edits import editor
        from stages.examples import origin
        from stages.machine import runtime
        from stages.subject.steering import Steering

        found = origin.load(p, coder)
        editing = editor(found.subject, found.coder)
        if isinstance(editing, str):
            click.echo(f"no boosted tokens are shown of {coder}: {editing}", err=True)
            yield from latents
            return
        steering = Steering(found.subject, runtime.load().batch_tokens)
        special = Tokens.open().vocabulary.special
        waiting = iter(latents)
        while part := list(islice(waiting, max(1, steering.most_prompts // (PER_QUINTILE * prompts.QUINTILES)))):
            for latent, rises in zip(part, _rises(part, found, editing, steering, p.seed), strict=True):
                rises[: len(special)][special[: len(rises)]] = 0
                order = np.argsort(-rises, kind="stable")[: self.boosted]
                best = order[rises[order] > 0]
                facts = {"boosted_tokens": best.tolist(), "boosted_values": rises[best].tolist()}
                yield replace(latent, facts={**latent.facts, **facts})

    def _without(self) -> tuple[str, ...]:
        return (*super()._without(), *(() if self.boosted else (shown.BOOSTED,)))  # type: ignore[misc]


def _rises(
    latents: list[LatentExamples], origin: Origin, editing: Editor, steering: Steering, seed: int
) -> list[np.ndarray]:
    """By how much the probability of every token rises when each of the latents is raised, [vocabulary] each."""
    import torch

    texts, owners = [], []
    for place, latent in enumerate(latents):
        generator = np.random.default_rng([seed, latent.latent, 0xB005])
        for prompt in prompts.spread(prompts.cut(latent.train, origin.room(0)), PER_QUINTILE, generator):
            texts.append(origin.row(prompt))
            owners.append(place)
    numbers = torch.tensor([latents[place].latent for place in owners], dtype=torch.long)
    peaks = torch.tensor([float(latents[place].facts["max"]) for place in owners])
    clean = steering.predict(texts)
    raised = steering.predict(texts, editing.add(numbers, peaks))
    rises = (raised.exp() - clean.exp()).numpy()
    found = [np.zeros(clean.shape[1], np.float32) for _ in latents]
    for place in set(owners):
        found[place] = rises[[row for row, owner in enumerate(owners) if owner == place]].mean(axis=0)
    return found
