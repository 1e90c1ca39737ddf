"""``sensitivity``: does the latent fire on texts that are written from its explanation (see arXiv 2509.23717)?

The other direction of detection, and a causal one: nobody chose the texts by what the latent does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from stages import llm
from stages.llm.labels import KEYS
from stages.llm.request import Answer, Message, Request
from stages.llm.sanitise import TERMINAL, UNSEEN, quoted
from stages.machine import runtime
from stages.machine.progress import bar
from stages.params import Section
from stages.scorers import Context, Item, Scored, metrics, summary
from stages.scorers.metrics import Figure
from stages.scorers.shown import Example, verdict
from stages.scorers.summary import ALL
from stages.scorers.table import verdicts_schema

READS = ("subject", "cache", "coders", "corpus.context_length")
"""Of params.yaml, beside its own entry."""

PROMPT = Path(__file__).with_name("sensitivity.md")
METRIC = "sensitivity"
TOKENS_A_TEXT = 100
"""Tokens that the answer may have for every text."""

EMPTY = "the text is empty"
NO_TEXT = "no text was written"
NO_TEST = "the latent has no test window"


class Text(NamedTuple):
    """A text that was written, or why there is none; and the most that the latent fires in it."""

    content: str
    reason: str | None
    request: str | None
    peak: float | None = None


class Options(Section):
    """The entry ``{kind: sensitivity, model: …}``."""

    kind: Literal["sensitivity"]
    model: dict[str, Any]
    """Writes the texts."""
    texts: Annotated[int, Field(ge=1, le=len(KEYS))] = 10
    """Written for every explanation."""
    latents: Annotated[int, Field(ge=1)] | None = None

    def score(self, items: list[Item], context: Context) -> Scored:
        """Has texts written from every explanation; the score is the share of them in which the latent fires anywhere.

        A measure beside it, of ``strong`` firing, is the share in which it fires as much as in half of its test windows.

        Raises:
            GlossaError: the subject or the coder can't be loaded, or is another than the examples were taken from.
        """
        backend = (
            _tokenizer(context) if context.p is not None else None
        )  # what it lacks is told before anything is paid for
        answers = self.ask(items, context)
        written = [list(self._texts(answer)) for answer in answers]
        peaks = iter(
            _peaks([(item, text) for item, own in zip(items, written, strict=True) for text in own], context, backend)
        )
        verdicts: list[dict[str, Any]] = []
        scores: list[dict[str, Any]] = []
        measures: list[dict[str, Any]] = []
        for item, own in zip(items, written, strict=True):
            own = [text if text.reason else text._replace(peak=next(peaks)) for text in own]
            for place, text in enumerate(own):
                example = Example(text.content, place, "written", None, 0, active=(text.peak or 0) > 0)
                row = verdict(item, example, text.reason is None or None, text.peak, text.reason, text.request)
                known = {"text": text.content} if text.reason is None else {"active": None}
                verdicts.append({**row, **known})
            generator = np.random.default_rng([context.seed, item.examples.latent, 0xB007])
            found = np.array([text.peak for text in own if text.peak is not None], np.float64)
            reason = next((text.reason for text in own if text.reason), NO_TEXT)
            key = (item.control, item.examples.latent)
            figure = share(found > 0, reason, generator)
            usual = _usual(item)
            strong = share(found >= usual, reason, generator) if usual is not None else Figure(None, reason=NO_TEST)
            scores.append(summary.score_row(*key, figure, len(found), len(own) - len(found)))
            measures.append(summary.measure_row(*key, METRIC, ALL, figure, len(found)))
            measures.append(summary.measure_row(*key, METRIC, "strong", strong, len(found)))
        verdicts.sort(key=lambda row: (row["explanation"], row["latent"], row["window"]))
        table = pa.Table.from_pylist(verdicts, schema=verdicts_schema())
        tables = summary.from_rows(scores, measures)
        models = sorted({answer.model for answer in answers if answer.model})
        return Scored(table, tables.scores, tables.measures, METRIC, {"models_answered": models} if models else {})

    def ask(self, items: Sequence[Item], context: Context) -> list[Answer]:
        """Returns what the model writes from every explanation; all that ``score`` asks, without running the subject."""
        model = llm.load("model", self.model)
        answers = model.answer(self._request(item) for item in items)
        return list(bar("write", total=len(items), unit="explanation", iterable=answers))

    def _request(self, item: Item) -> Request:
        keys = KEYS[: self.texts]
        schema = {
            "type": "object",
            "properties": {key: {"type": "string"} for key in keys},
            "required": list(keys),
            "additionalProperties": False,
        }
        asked = ", ".join(f'"{key}"' for key in keys)
        user = f"Explanation: {quoted(item.text)}\n\nKeys: {asked}"
        messages = (Message("system", PROMPT.read_text("utf-8").strip()), Message("user", user))
        return Request(messages, schema, max_tokens=TOKENS_A_TEXT * self.texts)

    def _texts(self, answer: Answer) -> Iterator[Text]:
        """What an answer holds, without what can't be seen."""
        if answer.content is None:
            yield from [Text("", answer.reason or NO_TEXT, answer.key)] * self.texts
            return
        for content in json.loads(answer.content).values():
            plain = UNSEEN.sub("", TERMINAL.sub("", content))
            yield Text(plain, None if plain.strip(" ") else EMPTY, answer.key)


def share(hits: NDArray[np.bool_], reason: str, generator: np.random.Generator) -> Figure:
    """Returns the share of ``hits`` with the interval of a bootstrap over them; ``reason`` if there are none."""
    if not len(hits):
        return Figure(None, reason=reason)
    drawn = generator.binomial(len(hits), hits.mean(), metrics.RESAMPLES) / len(hits)
    return metrics.figure(np.concatenate([[hits.mean()], drawn]), reason)


def _usual(item: Item) -> float | None:
    """The median of the test windows' maxima, if there are any."""
    return float(np.median(item.examples.test.activations.max(axis=1))) if len(item.examples.test) else None


def _tokenizer(context: Context) -> Any:
    """What reads texts as a corpus of texts is read, without turns; raises GlossaError if the subject has no tokenizer."""
    from stages.corpus.encode import load_tokenizer

    assert context.p is not None
    tokenizer, _ = load_tokenizer(context.p.subject.model, context.p.subject.revision)
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True
    backend.no_truncation()
    backend.no_padding()
    return backend


def _peaks(written: Sequence[tuple[Item, Text]], context: Context, backend: Any) -> list[float]:
    """The most that every item's latent fires on the text, in columns that count; of the texts that there are."""
    from stages.coders.firing import firing
    from stages.examples import origin

    there = [(item, text) for item, text in written if text.reason is None]
    if not there:
        return []
    assert context.p is not None
    found = origin.load(context.p, context.coder)
    room = context.p.corpus.context_length - len(found.beginning)
    texts = [
        [*found.beginning, *encoding.ids[:room]]
        for encoding in backend.encode_batch([text.content for _, text in there], add_special_tokens=False)
    ]
    numbers = [item.examples.latent for item, _ in there]
    fires = firing(found.subject, found.coder, texts, numbers, runtime.load().batch_tokens)
    first = max(len(found.beginning), found.skipped)
    return [float(one[first:].max(initial=0)) for one in fires]
