"""What every explain and score stage that ``dvc repro`` would run asks of language models, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from stages import paths
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.explainers import table
from stages.foresight import rehearse
from stages.foresight.count import Count
from stages.foresight.imagined import Imagined, tokens
from stages.foresight.pending import Pending, Stage, stages_of
from stages.llm.journal import Journal
from stages.llm.rehearsal import TEXT, Noted, NothingAskedError, Rehearsal
from stages.params import Params
from stages.progress import bar

LATENTS = 1000
"""Latents of a coder, or explanations to be judged, that are looked at; what more of them ask is calculated."""

IMAGINED = 4
"""Latents that are made up where none are chosen yet."""


class Forecast(NamedTuple):
    """What one stage asks of one model."""

    stage: Stage
    asked: Count | None
    """None if nothing has to be asked, or it can't be said what."""
    factor: float = 1.0
    """What the counts have to be multiplied by, because they are of a part."""
    basis: str = ""
    """What the count rests on: ``examples``, ``params``; or why there is none."""
    per_latent: bool = False
    """Whether it is of one latent, as it is not known how many there will be."""


class Sampled(NamedTuple):
    """The latents of a coder that are looked at."""

    sample: Any
    latents: list[int]
    tokens: Tokens
    of: int | None
    """How many there are or will be at most, if that is known."""
    basis: str


def forecasts(p: Params, pending: Pending, journal: Journal) -> Iterator[Forecast]:
    """Yields, stage by stage in the order in which they run, what is asked of every model.

    A question that several stages ask counts as known for all but the first.
    """
    asking = [
        stage
        for stage in stages_of(p)
        if rehearse.asks(p.scorers[stage.scorer] if stage.scorer else p.explainers[stage.explainer])
    ]
    with ExitStack() as stack:
        foresight = _Foresight(p, pending, journal, stack)
        with bar("estimate", total=len(asking), unit="stage", iterable=asking) as stages:
            for stage in stages:
                if pending.runs(stage):
                    yield from foresight.of(stage)
                else:
                    yield Forecast(stage, None, basis="up to date")


class _Foresight:
    def __init__(self, p: Params, pending: Pending, journal: Journal, stack: ExitStack):
        self.p, self.pending, self.journal, self._stack = p, pending, journal, stack
        self._samples: dict[str, Sampled] = {}
        self._texts: dict[tuple[str, str], dict[int, str]] = {}
        self._asked: set[str] = set()

    def of(self, stage: Stage) -> list[Forecast]:
        """What one stage asks."""
        counts: dict[tuple[str, str], Count] = {}
        own: set[str] = set()

        def note(noted: Noted) -> None:
            if noted.key in own:
                return
            own.add(noted.key)
            name = (noted.options.endpoint, noted.options.model)
            count = counts.setdefault(name, Count(noted.options))
            count.add(noted, noted.key in self._asked)
            self._asked.add(noted.key)

        rehearsal = Rehearsal(self.journal, note, placeholders=True)
        sampled = self._sampled(stage.coder)
        try:
            factor = self._run(stage, rehearsal, sampled)
        except NothingAskedError:
            return [Forecast(stage, None, basis="computes with its model in this process, without calls")]
        except GlossaError as error:
            return [Forecast(stage, None, basis=f"can't be told: {error}")]
        return [Forecast(stage, count, factor, sampled.basis, sampled.of is None) for count in counts.values()] or [
            Forecast(stage, None, basis="asks nothing")
        ]

    def _run(self, stage: Stage, rehearsal: Rehearsal, sampled: Sampled) -> float:
        """Rehearses a stage; returns what its counts have to be multiplied by."""
        part, whole = len(sampled.latents), sampled.of or 1
        if stage.scorer is None:
            said = rehearse.explain(self.p, stage, rehearsal, sampled.sample, sampled.latents, sampled.tokens)
            self._texts[stage.coder, stage.explainer] = {one.latent: one.text for one in said if one.text is not None}
            return whole / max(1, part)
        texts, n = self._explained(stage, sampled), float(whole)
        if texts is None:  # they are made by then
            texts = self._texts.get(stage[:2], {latent: f"{TEXT} {latent}" for latent in sampled.latents})
            n *= len(texts) / max(1, part)
        else:
            n = len(texts)
        vocabulary = sampled.tokens.vocabulary
        judged, of = rehearse.score(self.p, stage, rehearsal, sampled.sample, texts, vocabulary, 2 * LATENTS)
        most = self.p.scorers[stage.scorer].get("latents") or max(n, len(texts))
        return of / max(1, judged) * min(n, most) / max(1, min(len(texts), most))

    def _sampled(self, coder: str) -> Sampled:
        if coder not in self._samples:
            folder = paths.examples(coder)
            is_there = (folder / "meta.json").is_file() and (paths.TOKENS / "meta.json").is_file()
            if is_there and not self.pending.samples_change(coder):
                self._samples[coder] = self._real(Examples.open(folder))
            else:
                choice = self.p.sampling.latents
                n = choice.n if choice.how in ("first", "random") else len(choice.latents) or None
                imagined, latents = self._imagined
                self._samples[coder] = Sampled(imagined, latents, self._made_up, n, "params")
        return self._samples[coder]

    def _real(self, examples: Examples) -> Sampled:
        kept = examples.latents.filter(examples.latents["dropped"].is_null())["latent"].to_pylist()
        chosen = kept
        if len(kept) > LATENTS:
            chosen = sorted(np.random.default_rng(0).choice(kept, LATENTS, replace=False).tolist())
        return Sampled(examples, chosen, Tokens.open(), len(kept), "examples")

    @cached_property
    def _made_up(self) -> Tokens:
        return self._stack.enter_context(tokens(self.p.corpus.context_length))

    @cached_property
    def _imagined(self) -> tuple[Imagined, list[int]]:
        return Imagined(self.p.sampling, self._made_up), list(range(IMAGINED))

    def _explained(self, stage: Stage, sampled: Sampled) -> dict[int, str] | None:
        """The explanations that are judged, if they are there already."""
        folder = paths.explanations(stage.coder, stage.explainer)
        is_there = sampled.basis == "examples" and (folder / "meta.json").is_file()
        return table.texts(folder) if is_there and not self.pending.is_changed(Stage(*stage[:2])) else None
