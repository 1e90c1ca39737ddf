"""``intervention``: does the explanation say what raising the latent does to what is written (arXiv 2410.13928, §3.3.5, App. G)?

With x a prompt, G(x) what the subject writes behind it, G'(x) what it writes while the latent is raised, and z the explanation, the
score is the mean over prompts of -log p(z | x, G(x)) + log p(z | x, G'(x)) in nats under a judge: by how much less the explanation
surprises somebody who reads the intervened text instead of the clean one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages import llm, prompts
from stages.bootstrap import Figure, mean
from stages.corpus.tokens import Vocabulary
from stages.machine import runtime
from stages.machine.progress import bar
from stages.scorers import Context, Item, Judged, Judging, Metric, Scorer, summary
from stages.scorers.local_model import LocalModel
from stages.scorers.shown import Example, verdicts
from stages.scorers.table import ALL

if TYPE_CHECKING:
    from stages.examples.prompts import Prompt
    from stages.llm.providers.local import Local, Row
    from stages.scorers.continuations import Continued


PROMPT = Path(__file__).with_name("intervention.md")
HOLDS = ("# question\n", "{passage}", "{explanation}")
HEADING = re.compile(r"^# (?:passage|explanation|question)\n", re.MULTILINE)
SHOTS = 4
VERSIONS = ("clean", "intervened", "ablated")

TOO_LONG = "the explanation with a passage is longer than the judge reads"

READS = ("subject", "cache", "coders")
"""Of params.yaml, beside its own entry."""


class Options(Scorer):
    """The entry ``{kind: intervention, model: …}``."""

    METRIC: ClassVar[Metric] = Metric("surprisal_drop", "surprisal drop in nats", chance=0.0, bounded=False)
    COMPUTES: ClassVar[bool] = True

    kind: Literal["intervention"]
    model: LocalModel
    """A base model rather than one that was taught to chat."""
    divergence: Annotated[float, Field(gt=0, le=20)] = 1.0
    """How much the edits change the next token, in nats; scores compare at the same value only."""
    per_quintile: Annotated[int, Field(ge=1)] = 6
    """Prompts from each fifth of the test windows by strength."""
    new_tokens: Annotated[int, Field(ge=1, le=256)] = 8
    """Tokens that are written behind a prompt at most."""
    prompt: str | None = None
    """A file of one's own in place of the kind's prompt."""
    shots: Annotated[int, Field(ge=0, le=SHOTS)] = SHOTS
    """Passages with explanations that precede the one in question; fewer for a judge that reads only short texts."""

    def judge(self, items: Collection[Item], context: Context) -> Judging:
        """Raises each latent, once for all of its explanations, and asks how much the texts tell of them.

        Measured beside the verdicts are the strength of the edit, the divergence that it comes to, and whether that is within a
        tenth of the one wanted.

        Raises:
            GlossaError: a model can't be loaded, or the subject or the coder is another than the examples were taken from.
        """
        model: Any = llm.load("model", self.model)
        judge = Judge(model.local(), self.shots, self.prompt)  # before the subject, which a rehearsal is not to run

        from stages.coders.edits import editor
        from stages.examples import origin
        from stages.scorers.continuations import Continuations
        from stages.subject.steering import Steering

        assert context.p is not None
        found = origin.load(context.p, context.coder)
        editing = editor(found.subject, found.coder)
        with bar("intervene", total=len(items), unit="explanation") as progress:
            if isinstance(editing, str):
                for item in items:
                    yield Judged(item, verdicts(item, []), editing)
            else:
                steering = Steering(found.subject, runtime.load().batch_tokens)
                # In conversations what ends a turn is no special token, and the subject ends there all the same.
                ends = sorted(steering.ends.union(np.flatnonzero(context.vocabulary.special).tolist()))
                writing = Continuations(
                    found, editing, steering, ends, context.seed, self.per_quintile, self.divergence, self.new_tokens
                )
                latents = (list(own) for _, own in groupby(items, key=lambda item: item.examples.latent))
                while some := list(islice(latents, writing.at_once)):
                    written = writing.of([own[0].examples for own in some])
                    for own, continued in zip(some, written, strict=True):
                        for item in own:
                            if isinstance(continued, str):
                                yield Judged(item, verdicts(item, []), continued)
                            else:
                                said = judge.surprisals(continued, item.text, context.vocabulary)
                                yield _judged(item, continued, said)
                            progress.update()
        return {"model": model.endpoint, "divergence": "KL(intervened ‖ clean)"}

    def summarise(self, judged: Sequence[Judged], context: Context) -> summary.Summary:
        """Measures: surprisal_drop of all prompts, and of the same prompts with the latent silenced instead (``ablation``)."""
        scores, measures = [], []
        for item, found, *_ in judged:
            nats = found["value"].to_numpy().reshape(-1, len(VERSIONS))  # the versions of a prompt follow each other
            nats = nats[~np.isnan(nats).any(axis=1)]
            n = len(nats)
            generator = np.random.default_rng([context.seed, item.examples.latent, 0xB007])
            drop, ablation = drops(nats, generator) if n else (Figure(None, reason=TOO_LONG),) * 2
            scores.append(summary.score_row(*item.key, drop, n, len(found) // len(VERSIONS) - n))
            measures.append(summary.measure_row(*item.key, self.METRIC.name, ALL, drop, n))
            measures.append(summary.measure_row(*item.key, self.METRIC.name, "ablation", ablation, n))
        return summary.from_rows(scores, measures)


class Judge:
    """A causal language model that reads a passage and is asked what was amplified in it."""

    def __init__(self, local: Local, shots: int, own: str | None = None):
        self.local = local
        parts: list[str] = HEADING.split(prompts.read(own, PROMPT, HOLDS).strip())[1:]
        self.before, _, behind = parts.pop().partition("{passage}")
        self.after = behind.partition("{explanation}")[0]
        told = [part.strip() for part in parts[: 2 * shots]]
        pairs = zip(told[::2], told[1::2], strict=True)
        self.beginning = (
            "".join(f'{self.before}{passage}{self.after}{said}"\n\n' for passage, said in pairs) + self.before
        )

    @cached_property
    def head(self) -> list[int]:
        """The tokens that all questions begin with."""
        return self.local.head(self.beginning)

    def surprisals(self, continued: Continued, explanation: str, vocabulary: Vocabulary) -> list[list[Passage] | None]:
        """Returns, for every prompt, its versions in the order of ``VERSIONS``; None where they are too long for the model."""
        asked = [
            self._asked(prompt, [continued.written[name][place] for name in VERSIONS], explanation, vocabulary)
            for place, prompt in enumerate(continued.prompts)
        ]
        rows = {text: row for versions in asked if versions for text, row in versions}
        read = dict(zip(rows, self.local.read_behind(self.head, list(rows.values())), strict=True))
        return [
            None
            if versions is None
            else [Passage(text, -float(read[text].sum(dtype=np.float64))) for text, _ in versions]
            for versions in asked
        ]

    def _asked(
        self, prompt: Prompt, written: list[list[int]], explanation: str, vocabulary: Vocabulary
    ) -> list[tuple[str, Row]] | None:
        """The passages of one prompt and what is read of each; the prompt loses as much of its beginning as it has to."""
        from stages.llm.providers.local import Row

        tail = self.local.after(self.after, f'{explanation}"')
        for skipped in range(0, len(prompt.tokens), 4):
            texts = [vocabulary.text([*prompt.tokens[skipped:], *tokens]) for tokens in written]
            rows = [Row.behind(self.head + self.local.after(self.before, text + self.after), tail) for text in texts]
            if self.local.limit is None or max(len(row.ids) for row in rows) <= self.local.limit:
                return list(zip(texts, rows, strict=True))
        return None


class Passage(NamedTuple):
    """A prompt and what was written behind it."""

    text: str
    surprisal: float
    """Of the explanation, in nats."""


def _judged(item: Item, continued: Continued, found: Sequence[list[Passage] | None]) -> Judged:
    """Three rows for every prompt, one a version, and what was measured of the edit."""
    examples = [
        Example("", prompt.start, "test", name, prompt.decile, active=True)
        for prompt in continued.prompts
        for name in VERSIONS
    ]
    nothing: list[Passage | None] = [None] * len(VERSIONS)
    passages = [one for versions in found for one in (versions or nothing)]
    columns: dict[str, Sequence[Any]] = {
        "value": [None if one is None else one.surprisal for one in passages],
        "text": [None if one is None else one.text for one in passages],
        "reason": [TOO_LONG if one is None else None for one in passages],
    }
    tuned, n = continued.tuned, sum(versions is not None for versions in found)
    edit = {"strength": tuned.strength, "divergence": tuned.divergence, "converged": float(tuned.converged)}
    measures = [summary.measure_row(*item.key, name, ALL, Figure(value), n) for name, value in edit.items()]
    return Judged(item, verdicts(item, examples, **columns), measures=measures)


def drops(nats: NDArray[np.float64], generator: np.random.Generator) -> tuple[Figure, Figure]:
    """Returns by how much the second and the third column of ``nats`` [prompts, versions] are below the first, on average.

    Intervals are of a bootstrap over prompts.
    """
    clean, intervened, ablated = nats.T
    return mean(clean - intervened, generator), mean(clean - ablated, generator)
