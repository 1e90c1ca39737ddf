"""``surprisal``: does the explanation make the windows in which the latent fires more likely (arXiv 2410.13928, §3.3.3)?

The value of a window x is log p(x | explanation) - log p(x | a text that says nothing), in nats, summed over the tokens that the
judge's own tokenizer makes of x. The first of them counts like the others: it has a probability behind the prompt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from stages import llm, prompts
from stages.errors import GlossaError
from stages.machine.progress import bar
from stages.scorers import Context, Item, Judged, Judging, Metric, Scorer, summary
from stages.scorers.local_model import LocalModel
from stages.scorers.metrics import AUROC
from stages.scorers.shown import verdicts, windows
from stages.scorers.table import ALL

if TYPE_CHECKING:
    from stages.llm.providers.local import Local

PROMPT = Path(__file__).with_name("surprisal.md")
HOLDS = ("Description: ", "\nSentences:\n")
SHOTS = 9
NEUTRAL = "Various unrelated sentences."
"""The text that says nothing, as the paper has it."""

NO_TEXT = "the window has no text"


class Likelihood(NamedTuple):
    """How likely a window is behind a prompt."""

    total: float
    """Natural logarithm of its probability."""
    tokens: int


class Options(Scorer):
    """The entry ``{kind: surprisal, model: …}``."""

    METRIC: ClassVar[Metric] = AUROC

    kind: Literal["surprisal"]
    model: LocalModel
    """A base model rather than one that was taught to chat."""
    prompt: str | None = None
    """A file of one's own in place of the kind's prompt."""
    shots: Annotated[int, Field(ge=0, le=SHOTS)] = SHOTS
    """Descriptions with sentences that precede the one in question; fewer for a model that reads only short texts."""

    def judge(self, items: Collection[Item], context: Context) -> Judging:
        """Ranks the windows by how much likelier the explanation makes them.

        The measure ``auroc_per_token`` ranks by the mean over the tokens of a window instead of their sum.

        Raises:
            GlossaError: the model is no causal language model, or reads no text as long as the prompt.
        """
        model: Any = llm.load("model", self.model)
        local: Local = model.local()
        with bar("judge", total=len(items), unit="explanation") as progress:
            for _, group in groupby(items, key=lambda item: item.examples.latent):
                own = list(group)
                yield from _of_latent(local, own, context, self)
                progress.update(len(own))
        return {"model": model.endpoint, "shots": self.shots}

    def summarise(self, judged: Sequence[Judged], context: Context) -> summary.Summary:
        """The headline is the AUROC; see ``summary.ranked``."""
        return summary.ranked(judged, context.seed)


def prompt(description: str, shots: int = SHOTS, own: str | None = None) -> str:
    """Returns what precedes the windows that ``description`` may fit."""
    opening, *blocks = prompts.read(own, PROMPT, HOLDS).strip().split("\n\n")
    parts = [opening, *blocks[:shots], f"Description: {' '.join(description.split())}\nSentences:\n"]
    return "\n\n".join(parts)


def _of_latent(local: Local, items: Sequence[Item], context: Context, scorer: Options) -> Iterator[Judged]:
    """The verdicts on a latent's windows for each of its explanations.

    A window's probability behind the text that says nothing is computed once, whatever the number of explanations.
    """
    examples = windows(items[0], context.vocabulary)
    texts = list(dict.fromkeys(example.text for example in examples if example.text))
    likely = {
        description: dict(zip(texts, _likelihoods(local, description, texts, scorer), strict=True))
        for description in dict.fromkeys([NEUTRAL, *(item.text for item in items)])
    }
    for item in items:
        gains: list[float | None] = []
        per_token: list[float | None] = []
        reasons: list[str | None] = []
        for example in examples:
            neutral, informed = (likely[text].get(example.text, NO_TEXT) for text in (NEUTRAL, item.text))
            if isinstance(neutral, str) or isinstance(informed, str):
                gain, mean = None, None
                reasons.append(neutral if isinstance(neutral, str) else str(informed))
            else:
                gain = informed.total - neutral.total
                mean = gain / informed.tokens
                reasons.append(None)
            gains.append(gain)
            per_token.append(mean)
        ranked = Judged(item, verdicts(item, examples, value=per_token))
        means = [
            {**row, "metric": "auroc_per_token"}
            for row in summary.ranked([ranked], context.seed).measures.to_pylist()
            if (row["metric"], row["subset"]) == ("auroc", ALL)
        ]
        yield Judged(item, verdicts(item, examples, value=gains, reason=reasons), measures=means)


def _likelihoods(local: Local, description: str, texts: Sequence[str], scorer: Options) -> list[Likelihood | str]:
    from stages.llm.providers.local import Row

    shots = scorer.shots
    before = prompt(description, shots, scorer.prompt)
    head = local.head(before)
    tails = [local.after(before[before.rindex("Sentences") :], text) for text in texts]
    rows = [Row.behind(head, tail) for tail in tails]
    fits = [local.limit is None or len(row.ids) <= local.limit for row in rows]
    if description == NEUTRAL and rows and not any(fits):
        fewer = f"set shots below {shots}, or use" if shots else "use"
        raise GlossaError(
            f"the model {local.name} reads at most {local.limit:,} tokens, but the prompt of surprisal with a window has "
            f"{min(len(row.ids) for row in rows):,}; {fewer} another model"
        )
    values = iter(local.read_behind(head, [row for row, fit in zip(rows, fits, strict=True) if fit]))
    return [
        Likelihood(float(next(values).sum(dtype=np.float64)), len(row.wanted))
        if fit
        else f"the explanation with the window has {len(row.ids):,} tokens, but the model reads at most {local.limit:,}"
        for row, fit in zip(rows, fits, strict=True)
    ]
