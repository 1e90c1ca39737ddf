"""What detection and fuzzing share: examples in shuffled batches, one request a batch, verdicts into scores.

All requests of a stage begin with the same words, and those of a latent, which follow each other, also have the explanation in
common: servers that keep what they computed for a common beginning compute it once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, tee
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages import llm
from stages.llm import labels, probabilities
from stages.llm.request import Message, Request
from stages.llm.sanitise import quoted
from stages.machine.progress import bar
from stages.scorers import Item, Scored, summary
from stages.scorers.shown import Example, verdict
from stages.scorers.table import verdicts_schema


class Batch(NamedTuple):
    """The examples of one request."""

    item: Item
    examples: list[Example]
    request: Request
    is_last: bool
    """Whether it is the last one of its item."""


def score(
    items: Sequence[Item], examples_of: Any, system: str, model: llm.Model, examples_per_prompt: int, seed: int
) -> Scored:
    """Asks ``model`` about the examples that ``examples_of(item, generator)`` makes, and scores its verdicts.

    The examples of a latent and their order are drawn from (seed, latent), so that neither place nor neighbours give a
    label away, and every explanation of it is judged on the same.
    An answer that can't be read leaves its examples unscored, with the reason.
    """
    rows: list[dict[str, Any]] = []
    facts: Counter[str] = Counter()
    models: set[str] = set()
    # The model draws as many batches ahead as it needs; tee holds those until their answers come.
    batches, ahead = tee(_batches(items, examples_of, system, examples_per_prompt, seed))
    answers = model.answer(batch.request for batch in ahead)
    with bar("judge", total=len(items), unit="explanation") as progress:
        for batch, answer in zip(batches, answers, strict=True):
            rows.extend(_verdicts(batch, answer, facts))
            models.update([answer.model] if answer.model else [])
            progress.update(batch.is_last)
    rows.sort(key=lambda row: (row["explanation"], row["latent"], row["window"]))
    verdicts = pa.Table.from_pylist(rows, schema=verdicts_schema())
    told: dict[str, Any] = {"models_answered": sorted(models)} if models else {}
    told |= {"probabilities": dict(sorted(facts.items()))} if facts else {}
    return Scored(verdicts, *summary.classified(verdicts, summary.rates(items), seed), "balanced_accuracy", told)


def _batches(
    items: Sequence[Item], examples_of: Any, system: str, examples_per_prompt: int, seed: int
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


def _verdicts(batch: Batch, answer: llm.Answer, facts: Counter[str]) -> Iterator[dict[str, Any]]:
    """The rows of one batch; counts in ``facts`` what is known of the verdicts' probabilities."""
    found = labels.read(answer.content, len(batch.examples))
    reason = answer.reason or found.reason
    for place, example in enumerate(batch.examples):
        predicted = None if found.verdicts is None else found.verdicts[place]
        value = None
        if answer.probabilities is not None:
            bounds = answer.probabilities.get(labels.KEYS[place])
            value = probabilities.value(bounds)
            facts["missing" if value is None else "exact" if bounds and bounds.low == bounds.high else "bounded"] += 1
        yield verdict(batch.item, example, predicted, value, reason, answer.key or batch.request.key)
