"""What detection and fuzzing share: examples in shuffled batches, one request a batch, verdicts into scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages import llm
from stages.llm import labels
from stages.llm.request import Message, Request
from stages.progress import bar
from stages.scorers import Item, Scored, metrics
from stages.scorers.shown import Example, verdict
from stages.scorers.table import by_item, scores_schema, verdicts_schema

REQUESTS_AT_ONCE = 4096


class Batch(NamedTuple):
    """The examples of one request."""

    item: Item
    examples: list[Example]
    request: Request


def score(
    items: Sequence[Item], examples_of: Any, system: str, model: llm.Model, examples_per_prompt: int, seed: int
) -> Scored:
    """Asks ``model`` about the examples that ``examples_of(item, generator)`` makes, and scores its verdicts.

    The order of a latent's examples is drawn from (seed, latent), so that neither place nor neighbours give a label away.
    An answer that can't be read leaves its examples unscored, with the reason.
    """
    rows: list[dict[str, Any]] = []
    batches = _batches(items, examples_of, system, examples_per_prompt, seed)
    with bar("judge", total=len(items), unit="explanation") as progress:
        while part := list(islice(batches, REQUESTS_AT_ONCE)):
            answers = model.answer(batch.request for batch in part)
            for batch, answer in zip(part, answers, strict=True):
                rows.extend(_verdicts(batch, answer))
            progress.update(len({(batch.item.control, batch.item.examples.latent) for batch in part}))
    rows.sort(key=lambda row: (row["explanation"], row["latent"], row["window"]))
    verdicts = pa.Table.from_pylist(rows, schema=verdicts_schema())
    return Scored(verdicts, _scores(verdicts, seed), "balanced_accuracy", {})


def _batches(
    items: Sequence[Item], examples_of: Any, system: str, examples_per_prompt: int, seed: int
) -> Iterator[Batch]:
    for item in items:
        generator = np.random.default_rng([seed, item.examples.latent, 0xD37])
        examples = examples_of(item, generator)
        order = generator.permutation(len(examples))
        for start in range(0, len(order), examples_per_prompt):
            chosen = [examples[place] for place in order[start : start + examples_per_prompt]]
            lines = [f"{key}: {_quoted(example.text)}" for key, example in zip(labels.KEYS, chosen, strict=False)]
            user = f"Explanation: {_quoted(item.text)}\n\nExamples:\n" + "\n".join(lines)
            messages = (Message("system", system), Message("user", user))
            yield Batch(item, chosen, Request(messages, labels.schema(len(chosen))))


def _quoted(text: str) -> str:
    """A JSON string on one line: whatever the corpus holds stays inside its quotes."""
    return (
        json.dumps(text, ensure_ascii=False)
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
        .replace("\x85", "\\u0085")
    )


def _verdicts(batch: Batch, answer: llm.Answer) -> Iterator[dict[str, Any]]:
    found = labels.read(answer.content, len(batch.examples))
    reason = answer.reason or found.reason
    for place, example in enumerate(batch.examples):
        predicted = None if found.verdicts is None else found.verdicts[place]
        yield verdict(batch.item, example, predicted, reason=reason, request=batch.request.key)


def _scores(verdicts: pa.Table, seed: int) -> pa.Table:
    rows = []
    for (control, latent), part in by_item(verdicts):
        judged = part.filter(part["predicted"].is_valid())
        active = judged["active"].to_numpy(zero_copy_only=False).astype(bool)
        predicted = judged["predicted"].to_numpy(zero_copy_only=False).astype(bool)
        found = metrics.classified(active, predicted, np.random.default_rng([seed, latent, 0xB007]))
        figure = found.balanced_accuracy
        rows.append(
            {
                "explanation": control,
                "latent": latent,
                "score": figure.value,
                "low": figure.low,
                "high": figure.high,
                "n": len(judged),
                "unscored": len(part) - len(judged),
                "sensitivity": found.sensitivity,
                "specificity": found.specificity,
                "f1": found.f1,
                "reason": figure.reason,
            }
        )
    return pa.Table.from_pylist(rows, schema=scores_schema())
