"""What every stage that ``dvc repro`` would run asks of language models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from stages import paths
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.estimate import rehearse
from stages.estimate.count import Count
from stages.estimate.imagined import Imagined, tokens
from stages.estimate.pending import Pending, Stage, stages_of
from stages.examples.table import Examples
from stages.explainers import table
from stages.llm.journal.store import Journal
from stages.llm.rehearsal import TEXT, Noted, NothingAskedError, Rehearsal
from stages.llm.server import probe
from stages.llm.server.options import Server
from stages.llm.server.turns import Shape
from stages.machine.progress import bar
from stages.params import LATENT, Params
from stages.similarity import ceiling

LATENTS = 1000
"""Latents of a coder, or explanations to be judged, that are looked at; what more of them ask is calculated."""

IMAGINED = 4
"""Latents that are made up where none are chosen yet."""


class Forecast(NamedTuple):
    """What one stage asks of one model."""

    stage: tuple[str, ...]
    """As ``glossa`` is told; a comparison, which may explain some latents anew, with coder and explainer."""
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
    with ExitStack() as stack, bar("estimate", total=len(asking), unit="stage") as progress:
        foresight = _Foresight(p, pending, journal, stack)
        for stage in asking:
            yield from foresight.of(stage)
            progress.update()
        for stage in asking if p.compare.ceiling else ():
            if stage.scorer is None:
                yield from foresight.ceiling_of(stage)


class _Foresight:
    def __init__(self, p: Params, pending: Pending, journal: Journal, stack: ExitStack):
        self.p, self.pending, self.journal, self._stack = p, pending, journal, stack
        self._samples: dict[str, Sampled] = {}
        self._texts: dict[tuple[str, str], dict[int, str]] = {}
        self._asked: set[str] = set()

    def of(self, stage: Stage) -> list[Forecast]:
        """What an explain or a score stage asks."""
        if not self.pending.runs(stage):
            return [Forecast(stage.words, None, basis="up to date")]
        sampled = self._sampled(stage.coder)
        return self._foretold(stage.words, sampled, lambda rehearsal: self._run(stage, rehearsal, sampled))

    def ceiling_of(self, stage: Stage) -> list[Forecast]:
        """What the comparison asks of an explainer, to explain some latents of a coder twice."""
        words = ("compare", *stage[:2])
        if not self.pending.compare_runs(self.p):
            return [Forecast(words, None, basis="up to date")]
        sampled = self._sampled(stage.coder)
        explained, most = self._explained(stage, sampled), self.p.compare.ceiling
        n = min(most, len(explained) if explained is not None else sampled.of or 1)
        if explained is None:
            explained = self._texts.get(stage[:2], dict.fromkeys(sampled.latents, ""))
        generator = np.random.default_rng([self.p.seed, *stage.coder.encode(), 0xCE])
        chosen = ceiling.choose(list(explained), most, generator)

        def run(rehearsal: Rehearsal) -> float:
            shown = ceiling.both(sampled.sample.of(chosen))
            rehearse.explain(self.p, stage.explainer, rehearsal, shown, sampled.tokens)
            return n / max(1, len(chosen))

        return self._foretold(words, sampled, run)

    def _foretold(self, words: tuple[str, ...], sampled: Sampled, run: Callable[[Rehearsal], float]) -> list[Forecast]:
        """What is asked while ``run`` rehearses it; it returns what the counts have to be multiplied by."""
        counts: dict[tuple[str, str], Count] = {}
        own: set[str] = set()

        def note(noted: Noted) -> None:
            if noted.key not in own:
                own.add(noted.key)
                count = counts.setdefault((noted.options.endpoint, noted.options.model), Count(noted.options))
                count.add(noted, noted.key in self._asked)
                self._asked.add(noted.key)

        try:
            factor = run(Rehearsal(self.journal, note, placeholders=True, shape=self._shape))
        except NothingAskedError:
            return [Forecast(words, None, basis="computes with its model in this process, without calls")]
        except GlossaError as error:
            return [Forecast(words, None, basis=f"can't be told: {error}")]
        is_per_latent = sampled.of is None
        found = [Forecast(words, count, factor, sampled.basis, is_per_latent) for count in counts.values()]
        return found or [Forecast(words, None, basis="asks nothing")]

    def _shape(self, options: Server) -> Shape:
        """Where a server gets its instructions; as most take them, where nobody has asked yet."""
        try:
            found = probe.remembered(options, options.at(), self.journal)
        except GlossaError:  # runtime.yaml does not name it
            found = None
        return found.shape if found else "turn"

    def _run(self, stage: Stage, rehearsal: Rehearsal, sampled: Sampled) -> float:
        """Rehearses a stage; returns what its counts have to be multiplied by."""
        part, whole = len(sampled.latents), sampled.of or 1
        if stage.scorer is None:
            shown = sampled.sample.of(sampled.latents)
            said = rehearse.explain(self.p, stage.explainer, rehearsal, shown, sampled.tokens)
            self._texts[stage.coder, stage.explainer] = {one.latent: one.text for one in said if one.text is not None}
            return whole / max(1, part)
        texts, n = self._explained(stage, sampled), float(whole)
        if stage.explainer == LATENT:
            texts = dict.fromkeys(sampled.latents, "")
        elif texts is None:  # they are made by then
            texts = self._texts.get(
                stage[:2], {latent: f"{TEXT} {' '.join(stage[:2])} {latent}" for latent in sampled.latents}
            )
            n *= len(texts) / max(1, part)
        else:
            n = len(texts)
        judged, of = rehearse.score(self.p, stage, rehearsal, sampled.sample, texts, sampled.tokens, 2 * LATENTS)
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
