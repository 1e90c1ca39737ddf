"""What detection and fuzzing share: examples in shuffled batches, one request a batch, verdicts into scores.

All requests of a stage begin with the same words, and those of a latent, which follow each other, also have the explanation in
common: servers that keep what they computed for a common beginning compute it once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby, tee
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from stages import llm
from stages.llm.forms import labels, probabilities
from stages.llm.request import Message, Request
from stages.machine.progress import bar
from stages.scorers import Context, Item, Judged, Judging, Metric, Scorer, summary
from stages.scorers.metrics import BALANCED_ACCURACY
from stages.scorers.shown import Example, verdicts
from stages.text.sanitise import quoted


class Batch(NamedTuple):
    """The examples of one request."""

    item: Item
    examples: list[Example]
    request: Request | None
    """None for an item of which nothing can be shown."""
    is_last: bool
    """Whether it is the last one of its item."""


class Classifier(Scorer):
    """What detection and fuzzing have in common."""

    METRIC: ClassVar[Metric] = BALANCED_ACCURACY

    model: dict[str, Any]
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
        models: set[str] = set()
        # The model draws as many batches ahead as it needs; tee holds those until their answers come.
        batches, ahead = tee(_batches(items, examples_of, system, self.examples_per_prompt, seed))
        answers = llm.load("model", self.model).answer(batch.request for batch in ahead if batch.request)
        examples: list[Example] = []
        found: dict[str, list[Any]] = {name: [] for name in ("predicted", "value", "reason", "request")}
        with bar("judge", total=len(items), unit="explanation") as progress:
            for batch in batches:
                if batch.request is not None:
                    answer = next(answers)
                    examples += batch.examples
                    _read(batch.request, answer, len(batch.examples), facts, found)
                    models.update([answer.model] if answer.model else [])
                if batch.is_last:
                    yield Judged(batch.item, verdicts(batch.item, examples, **found))
                    examples, found = [], {name: [] for name in found}
                    progress.update()
        told: dict[str, Any] = {"models_answered": sorted(models)} if models else {}
        return told | ({"probabilities": dict(sorted(facts.items()))} if facts else {})


def _batches(
    items: Iterable[Item], examples_of: Any, system: str, examples_per_prompt: int, seed: int
) -> Iterator[Batch]:
    for latent, of_latent in groupby(items, key=lambda item: item.examples.latent):
        some = list(of_latent)
        generator = np.random.default_rng([seed, latent, 0xD37])
        examples = examples_of(some[0], generator)  # the same for every explanation of the latent
        order = generator.permutation(len(examples))
        places = [order[start : start + examples_per_prompt] for start in range(0, len(order), examples_per_prompt)]
        batches = [[examples[place] for place in part] for part in places]
        texts = [
            "\n".join(f"{key}: {quoted(example.text)}" for key, example in zip(labels.KEYS, chosen, strict=False))
            for chosen in batches
        ]
        for item in some:
            for place, (chosen, text) in enumerate(zip(batches, texts, strict=True)):
                user = f"Explanation: {quoted(item.text)}\n\nExamples:\n{text}"
                messages = (Message("system", system), Message("user", user))
                request = Request(messages, labels.schema(len(chosen)), logprobs=True)
                yield Batch(item, chosen, request, place + 1 == len(batches))
            if not batches:
                yield Batch(item, [], None, is_last=True)


def _read(request: Request, answer: llm.Answer, n: int, facts: Counter[str], into: dict[str, list[Any]]) -> None:
    """Adds what an answer says of ``n`` examples; counts in ``facts`` what is known of the verdicts' probabilities."""
    found = labels.read(answer.content, n)
    into["predicted"] += [None] * n if found.verdicts is None else found.verdicts
    into["reason"] += [answer.reason or found.reason] * n
    into["request"] += [answer.key or request.key] * n
    if answer.probabilities is None:
        into["value"] += [None] * n
        return
    for key in labels.KEYS[:n]:
        bounds = answer.probabilities.get(key)
        value = probabilities.value(bounds)
        into["value"].append(value)
        facts["missing" if value is None else "exact" if bounds and bounds.low == bounds.high else "bounded"] += 1
