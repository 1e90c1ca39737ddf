"""``intruder``: is what a latent fires on alike, so that one can tell where it is silent (Paulo & Belrose, arXiv 2507.08473)?

It needs no explanation: it scores a latent, apart from how well anybody explains it. Chance is one in five.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby, tee
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from stages import llm, prompts
from stages.bootstrap import Figure
from stages.corpus.tokens import Vocabulary
from stages.errors import GlossaError
from stages.llm.forms import odd_one_out
from stages.llm.forms.labels import KEYS
from stages.llm.heard import heard
from stages.llm.request import Message, Request
from stages.machine.progress import bar
from stages.scorers import Context, Item, Judged, Judging, Metric, Scorer, metrics, summary
from stages.scorers.marking import like, masks_of, shown
from stages.scorers.metrics import Calls
from stages.scorers.shown import Example, verdicts
from stages.scorers.table import ALL
from stages.scorers.trusted import Tally
from stages.text.sanitise import quoted

PROMPT = Path(__file__).with_name("intruder.md")
COMPANY = 4
"""Windows in which the latent fires, beside the one in which it is silent."""
SHOWN = COMPANY + 1
NO_TRIAL = f"no decile has {COMPANY} test windows, or there is no negative drawn at random"
NO_ANSWER = "no trial has an answer that can be read"

READS = ("sampling.test.per_decile",)
"""Of params.yaml, beside its own entry."""


class Options(Scorer):
    """The entry ``{kind: intruder, model: …}``."""

    METRIC: ClassVar[Metric] = Metric("accuracy", "accuracy", chance=1 / SHOWN)
    APART: ClassVar[bool] = True

    kind: Literal["intruder"]
    model: dict[str, Any]
    prompt: str | None = None
    """A file of one's own in place of the kind's prompt."""
    trials: Annotated[int, Field(ge=1)] = 1
    """For each decile at most; none shows a window that another has shown."""
    marked: bool = True
    """Whether tokens are marked."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.3
    """A token is marked from this share of its window's maximum on."""

    def judge(self, items: Collection[Item], context: Context) -> Judging:
        """Shows four test windows of one decile and a negative drawn at random, and asks which does not belong.

        A row of the verdicts is a window; those of a trial have their ``decile`` and ``request`` in common, and ``predicted`` is
        whether the judge counted the window among the four.

        Raises:
            GlossaError: params.yaml samples fewer test windows of a decile than a trial shows.
        """
        if context.p is not None and context.p.sampling.test.per_decile < COMPANY:
            raise GlossaError(
                f"scorers of kind intruder show {COMPANY} test windows of one decile, but sampling.test.per_decile is "
                f"{context.p.sampling.test.per_decile}; raise it to {COMPANY} or more"
            )
        model = llm.load("model", self.model)
        models: set[str] = set()
        tally = Tally()
        trials, ahead = tee(self._trials(items, context))
        answers = heard(model.answer(trial.request for trial in ahead if trial.request is not None))
        with bar("judge", unit="trial") as progress:
            for _, own in groupby(trials, key=lambda trial: trial.item.key):
                examples: list[Example] = []
                columns: dict[str, list[Any]] = {name: [] for name in ("predicted", "reason", "request")}
                for trial in own:
                    item = trial.item
                    if trial.request is None:
                        continue
                    answer = next(answers)
                    found = odd_one_out.read(answer.content, SHOWN)
                    places = range(len(trial.examples))
                    tally.answered(found.place is not None)
                    tally.mass(answer.mass)
                    for place in places if found.place is not None else ():
                        tally.verdict(KEYS[place], found.place == place)
                    columns["predicted"] += [None if found.place is None else found.place != place for place in places]
                    columns["reason"] += [answer.reason or found.reason] * len(places)
                    columns["request"] += [answer.key or trial.request.key] * len(places)
                    examples += trial.examples
                    models.update([answer.model] if answer.model else [])
                    progress.update()
                yield Judged(item, verdicts(item, examples, **columns), None if examples else NO_TRIAL)
        return ({"models_answered": sorted(models)} if models else {}) | tally.facts()

    def summarise(self, judged: Sequence[Judged], context: Context) -> summary.Summary:
        """The score is the share of trials in which the intruder is found."""
        scores, measures = [], []
        for item, found, *_ in judged:
            intruders = [row for row in found.to_pylist() if not row["active"]]
            told = [(row["decile"], not row["predicted"]) for row in intruders if row["predicted"] is not None]
            calls = Calls(sum(right for _, right in told), len(told))
            generator = np.random.default_rng([context.seed, item.examples.latent, 0xB007])
            figure = metrics.share(calls, generator, NO_ANSWER)
            scores.append(summary.score_row(*item.key, figure, len(told), len(intruders) - len(told)))
            measures.append(summary.measure_row(*item.key, self.METRIC.name, ALL, figure, len(told)))
            for decile in sorted({decile for decile, _ in told}):
                right = [right for other, right in told if other == decile]
                share = Figure(sum(right) / len(right))
                measures.append(summary.measure_row(*item.key, self.METRIC.name, f"decile {decile}", share, len(right)))
        return summary.from_rows(scores, measures)

    def _trials(self, items: Iterable[Item], context: Context) -> Iterator[_Trial]:
        """Yields the trials of every item; one without a request for an item that has none."""
        system = Message("system", prompts.read(self.prompt, PROMPT, ["JSON", "intruder"]))
        for item in items:
            generator = np.random.default_rng([context.seed, item.examples.latent, 0x0DD])
            fives = list(self._fives(item, context.vocabulary, generator))
            for examples in fives:
                lines = [f"{key}: {quoted(example.text)}" for key, example in zip(KEYS, examples, strict=False)]
                user = Message("user", "Examples:\n" + "\n".join(lines))
                yield _Trial(item, examples, Request((system, user), odd_one_out.schema(SHOWN)))
            if not fives:
                yield _Trial(item, [], None)

    def _fives(self, item: Item, vocabulary: Vocabulary, generator: np.random.Generator) -> Iterator[list[Example]]:
        """Yields the examples of every trial, in the order in which they are shown."""
        test, negative = item.examples.test, item.examples.negative
        units, others = shown(test, vocabulary), shown(negative, vocabulary)
        masks = masks_of(units, self.threshold)
        texts = units.marked(masks & self.marked)
        silent = [place for place, kind in enumerate(negative.kinds) if kind == "random"]
        intruders = iter(generator.permutation(silent).tolist())
        for decile in np.unique(test.deciles).tolist():
            order = generator.permutation(np.flatnonzero(test.deciles == decile)).tolist()
            for trial in range(min(self.trials, len(order) // COMPANY)):
                chosen = order[trial * COMPANY : (trial + 1) * COMPANY]
                found = [Example(texts[place], int(test.starts[place]), "test", None, decile, True) for place in chosen]
                for place in intruders:
                    window = others.chosen(np.array([place]))
                    there, mask = like(masks[chosen], window, generator)
                    if len(there):
                        (text,), start = window.marked(mask & self.marked), int(negative.starts[place])
                        found.append(Example(text, start, "negative", "random", decile, False))
                        yield [found[place] for place in generator.permutation(SHOWN)]
                        break


class _Trial(NamedTuple):
    item: Item
    examples: list[Example]
    request: Request | None
