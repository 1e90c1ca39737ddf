"""``sensitivity``: does the latent fire on texts that are written from its explanation (see arXiv 2509.23717)?

The other direction of detection, and a causal one: nobody chose the texts by what the latent does.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages import llm, prompts
from stages.bootstrap import RESAMPLES, Figure, figure
from stages.llm.forms.labels import KEYS
from stages.llm.heard import heard
from stages.llm.request import Answer, Message, Request
from stages.machine import runtime
from stages.machine.progress import bar
from stages.scorers import Context, Item, Judged, Judging, Metric, Scorer, summary
from stages.scorers.shown import Example, verdicts
from stages.scorers.table import ALL
from stages.text.sanitise import TERMINAL, UNSEEN, quoted

PROMPT = Path(__file__).with_name("sensitivity.md")
TOKENS_A_TEXT = 100
"""Tokens that the answer may have for every text."""

EMPTY = "the text is empty"
NO_TEXT = "no text was written"
NO_TEST = "the latent has no test window"
AT_ONCE = 512
"""Explanations whose texts the subject reads together; it bounds the windows in memory."""


class Text(NamedTuple):
    """A text that was written, or why there is none; and the most that the latent fires in it."""

    content: str
    reason: str | None
    request: str | None
    peak: float | None = None


READS = ("subject", "cache", "coders", "corpus.context_length")
"""Of params.yaml, beside its own entry."""


class Options(Scorer):
    """The entry ``{kind: sensitivity, model: …}``."""

    METRIC: ClassVar[Metric] = Metric("sensitivity", "sensitivity")
    COMPUTES: ClassVar[bool] = True

    kind: Literal["sensitivity"]
    model: dict[str, Any]
    """Writes the texts."""
    prompt: str | None = None
    """A file of one's own in place of the kind's prompt."""
    texts: Annotated[int, Field(ge=1, le=len(KEYS))] = 10
    """Written for every explanation."""

    def judge(self, items: Collection[Item], context: Context) -> Judging:
        """Has texts written from every explanation, and sees how much the latent fires on each.

        Raises:
            GlossaError: the subject or the coder can't be loaded, or is another than the examples were taken from.
        """
        backend = (
            _tokenizer(context) if context.p is not None else None
        )  # what it lacks is told before anything is paid for
        models: set[str] = set()
        written = zip(items, self._answers(items), strict=True)
        while some := list(islice(written, AT_ONCE)):
            models.update(answer.model for _, answer in some if answer.model)
            texts = [list(self._texts(answer)) for _, answer in some]
            own = [(item, text) for (item, _), of_item in zip(some, texts, strict=True) for text in of_item]
            peaks = iter(_peaks(own, context, backend))
            for (item, _), of_item in zip(some, texts, strict=True):
                yield _judged(item, [text if text.reason else text._replace(peak=next(peaks)) for text in of_item])
        return {"models_answered": sorted(models)} if models else {}

    def summarise(self, judged: Sequence[Judged], context: Context) -> summary.Summary:
        """The score is the share of texts in which the latent fires anywhere.

        A measure beside it, of ``strong`` firing, is the share in which it fires as much as in half of its test windows.
        """
        scores, measures = [], []
        for item, found, *_ in judged:
            generator = np.random.default_rng([context.seed, item.examples.latent, 0xB007])
            peaks = found["value"].drop_null().to_numpy()
            reason = next((text for text in found["reason"].to_pylist() if text), NO_TEXT)
            hits = found["active"].drop_null().to_numpy()  # of the same texts
            figure = share(hits, reason, generator)
            usual = _usual(item)
            strong = share(peaks >= usual, reason, generator) if usual is not None else Figure(None, reason=NO_TEST)
            scores.append(summary.score_row(*item.key, figure, len(peaks), len(found) - len(peaks)))
            measures.append(summary.measure_row(*item.key, self.METRIC.name, ALL, figure, len(peaks)))
            measures.append(summary.measure_row(*item.key, self.METRIC.name, "strong", strong, len(peaks)))
        return summary.from_rows(scores, measures)

    def ask(self, items: Collection[Item], context: Context) -> None:
        """Has the texts written, without running the subject on them."""
        for _ in self._answers(items):
            pass

    def _answers(self, items: Collection[Item]) -> Iterator[Answer]:
        """What the model writes from every explanation."""
        model = llm.load("model", self.model)
        answers = heard(model.answer(self._request(item) for item in items))
        return iter(bar("write", total=len(items), unit="explanation", iterable=answers))

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
        messages = (Message("system", prompts.read(self.prompt, PROMPT, ["JSON"]).strip()), Message("user", user))
        return Request(messages, schema, max_tokens=TOKENS_A_TEXT * self.texts)

    def _texts(self, answer: Answer) -> Iterator[Text]:
        """What an answer holds, without what can't be seen."""
        if answer.content is None:
            yield from [Text("", answer.reason or NO_TEXT, answer.key)] * self.texts
            return
        for content in json.loads(answer.content).values():
            plain = UNSEEN.sub("", TERMINAL.sub("", content))
            yield Text(plain, None if plain.strip(" ") else EMPTY, answer.key)


def _judged(item: Item, texts: Sequence[Text]) -> Judged:
    """A row for every text; what can't be read is no text."""
    examples = [Example("", place, "written", None, 0, active=False) for place in range(len(texts))]
    there = [text.reason is None for text in texts]
    columns: dict[str, Sequence[Any]] = {
        "active": [(text.peak or 0) > 0 if is_there else None for text, is_there in zip(texts, there, strict=True)],
        "predicted": [is_there or None for is_there in there],
        "value": [text.peak for text in texts],
        "reason": [text.reason for text in texts],
        "request": [text.request for text in texts],
        "text": [text.content if is_there else None for text, is_there in zip(texts, there, strict=True)],
    }
    return Judged(item, verdicts(item, examples, **columns))


def share(hits: NDArray[np.bool_], reason: str, generator: np.random.Generator) -> Figure:
    """Returns the share of ``hits`` with the interval of a bootstrap over them; ``reason`` if there are none."""
    if not len(hits):
        return Figure(None, reason=reason)
    drawn = generator.binomial(len(hits), hits.mean(), RESAMPLES) / len(hits)
    return figure(np.concatenate([[hits.mean()], drawn]), reason)


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
