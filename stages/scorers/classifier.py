"""What detection and fuzzing share: examples in shuffled batches, one request a batch, verdicts into scores.

All requests of a stage begin with the same words, and those of a latent, which follow each other, also have the explanation in
common: servers that keep what they computed for a common beginning compute it once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import cycle, groupby, tee
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from stages import llm
from stages.llm.forms import labels, probabilities
from stages.llm.heard import heard
from stages.llm.request import Beginning, Ending, Message, Request
from stages.machine.progress import bar
from stages.scorers import Context, Item, Judged, Judging, Metric, Scorer, summary
from stages.scorers.metrics import BALANCED_ACCURACY
from stages.scorers.shown import Example, Ready, Repeated, tables
from stages.scorers.trusted import Tally
from stages.text.sanitise import all_quoted, quoted

AT_ONCE = 64
"""Items whose tables are made together."""


class Batch(NamedTuple):
    """Some examples of an item, those of one request."""

    item: Item
    examples: list[Example]
    """All of the item, in the order in which they are shown; the same list for every explanation of a latent."""
    n: int
    """How many of them this is."""
    request: Request | None
    """None for an item of which nothing can be shown."""
    is_last: bool
    """Whether it is the last one of its item."""


class Classifier(Scorer):
    """What detection and fuzzing have in common."""

    METRIC: ClassVar[Metric] = BALANCED_ACCURACY
    APART: ClassVar[bool] = True

    model: dict[str, Any]
    prompt: str | None = None
    """A file of one's own in place of the kind's prompt."""
    examples_per_prompt: Annotated[int, Field(ge=1, le=20)] = 5

    def summarise(self, judged: Sequence[Judged], context: Context) -> summary.Summary:
        """The headline is the balanced accuracy; see ``summary.classified``."""
        return summary.classified(judged, context.seed)

    def judge_by(self, items: Collection[Item], examples_of: Any, system: str, seed: int) -> Judging:
        """Asks the model about the examples that ``examples_of(item, generator)`` makes.

        The examples of a latent and their order are drawn from (seed, latent), so that neither place nor neighbours give a
        label away, and every explanation of it is judged on the same.
        An answer that can't be read leaves its examples unscored, with the reason.
        """
        facts: Counter[str] = Counter()
        tally = Tally()
        models: set[str] = set()
        # The model draws as many batches ahead as it needs; tee holds those until their answers come.
        batches, ahead = tee(_batches(items, examples_of, system, self.examples_per_prompt, seed))
        answers = heard(llm.load("model", self.model).answer(batch.request for batch in ahead if batch.request))
        ready: list[Ready] = []
        found = _columns()
        with bar("judge", total=len(items), unit="explanation") as progress:
            for batch in batches:
                if batch.request is not None:
                    answer = next(answers)
                    _read(batch.request, answer, batch.n, facts, tally, found)
                    models.update([answer.model] if answer.model else [])
                if batch.is_last:
                    ready.append(Ready(batch.item, batch.examples, found))
                    found = _columns()
                    progress.update()
                if len(ready) == AT_ONCE:
                    yield from _judged(ready)
                    ready = []
            yield from _judged(ready)
        told: dict[str, Any] = {"models_answered": sorted(models)} if models else {}
        return told | tally.facts() | ({"probabilities": dict(sorted(facts.items()))} if facts else {})


def _batches(
    items: Iterable[Item], examples_of: Any, system: str, examples_per_prompt: int, seed: int
) -> Iterator[Batch]:
    instructions, keys = Message("system", system), labels.KEYS[:examples_per_prompt]
    for latent, of_latent in groupby(items, key=lambda item: item.examples.latent):
        some = list(of_latent)
        generator = np.random.default_rng([seed, latent, 0xD37])
        made = examples_of(some[0], generator)  # the same for every explanation of the latent
        examples = [made[place] for place in generator.permutation(len(made)).tolist()]
        shown = all_quoted([example.text for example in examples])
        lines = [f"{key}: {text}" for key, text in zip(cycle(keys), shown, strict=False)]
        starts = range(0, len(lines), examples_per_prompt)
        texts = [lines[start : start + examples_per_prompt] for start in starts]
        parts = [(len(text), Ending("\n".join(text))) for text in texts]
        for item in some:
            begin = Beginning((instructions,), f"Explanation: {quoted(item.text)}\n\nExamples:\n")
            for place, (n, ending) in enumerate(parts, 1):
                request = begin.request(ending, labels.schema(n), logprobs=True)
                yield Batch(item, examples, n, request, place == len(parts))
            if not parts:
                yield Batch(item, [], 0, None, is_last=True)


def _columns() -> dict[str, Any]:
    """Columns of what is found of an item."""
    return {"predicted": [], "value": [], "reason": Repeated(), "request": Repeated()}


def _judged(ready: Sequence[Ready]) -> Iterator[Judged]:
    return map(Judged, (one.item for one in ready), tables(ready))


def _read(
    request: Request, answer: llm.Answer, n: int, facts: Counter[str], tally: Tally, into: dict[str, Any]
) -> None:
    """Adds what an answer says of ``n`` examples; counts in ``facts`` what is known of the verdicts' probabilities."""
    found = labels.read(answer.content, n)
    tally.answered(found.verdicts is not None)
    tally.mass(answer.mass)
    for key, verdict in zip(labels.KEYS, found.verdicts or (), strict=False):
        tally.verdict(key, verdict)
    into["predicted"] += [None] * n if found.verdicts is None else found.verdicts
    into["reason"].add(answer.reason or found.reason, n)
    into["request"].add(answer.key or request.key, n)
    if answer.probabilities is None:
        into["value"] += [None] * n
        return
    for key in labels.KEYS[:n]:
        bounds = answer.probabilities.get(key)
        value = probabilities.value(bounds)
        into["value"].append(value)
        facts["missing" if value is None else "exact" if bounds and bounds.low == bounds.high else "bounded"] += 1
