"""``pmi``: do the windows in which the latent fires make the explanation more likely? ``surprisal`` turned round.

The value of a window x is its pointwise mutual information with the explanation z, log p(z | x) - log p(z), in nats, summed over
the tokens that the judge's own tokenizer makes of z. p(z) is the probability that z has behind the same question without a text. It
is the same for all windows, so it has no part in how they are ranked; it makes the values of different explanations comparable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from stages import llm, prompts
from stages.errors import GlossaError
from stages.machine.progress import bar
from stages.scorers import Context, Item, Judged, Judging, Metric, Scorer, summary
from stages.scorers.local_model import LocalModel
from stages.scorers.metrics import AUROC
from stages.scorers.shown import Example, spread, verdicts, windows

if TYPE_CHECKING:
    from stages.llm.providers.local import Local

PROMPT = Path(__file__).with_name("pmi.md")
HOLDS = ("{window}", " {explanation}")

NO_TEXT = "the window has no text"
NOTHING_SAID = "the explanation has no text"


class Options(Scorer):
    """The entry ``{kind: pmi, model: …}``."""

    METRIC: ClassVar[Metric] = AUROC

    kind: Literal["pmi"]
    model: LocalModel
    prompt: str | None = None
    """A file of one's own in place of the kind's prompt."""
    active: Annotated[int, Field(ge=1)] | None = None
    """Test windows of a latent at most, spread over their strengths."""
    silent: Annotated[int, Field(ge=1)] | None = None
    """Negatives of every kind of a latent at most."""

    def judge(self, items: Collection[Item], context: Context) -> Judging:
        """Ranks the windows by how much likelier they make the explanation.

        Raises:
            GlossaError: the model is no causal language model, or reads no text as long as the prompt.
        """
        model: Any = llm.load("model", self.model)
        asking = _Asking(model.local(), template(self.prompt), [item.text for item in items])
        with bar("judge", total=len(items), unit="explanation") as progress:
            for _, group in groupby(items, key=lambda item: item.examples.latent):
                own = list(group)
                yield from asking.judged(own, self._shown(own[0], context))
                progress.update(len(own))
        return {"model": model.endpoint}

    def summarise(self, judged: Sequence[Judged], context: Context) -> summary.Summary:
        """The headline is the AUROC; see ``summary.ranked``."""
        return summary.ranked(judged, context.seed)

    def _shown(self, item: Item, context: Context) -> list[Example]:
        """The windows that are read; they do not depend on the explanation."""
        test, negative = item.examples.test, item.examples.negative
        generator = np.random.default_rng([context.seed, item.examples.latent, 0x9A1])
        firing = range(len(test)) if self.active is None else spread(test, self.active, generator).tolist()
        silent: list[int] = []
        for kind in dict.fromkeys(negative.kinds):
            own = [place for place in range(len(negative)) if negative.kinds[place] == kind]
            silent += generator.permutation(own).tolist()[: self.silent]
        return windows(item, context.vocabulary, (firing, sorted(silent)))


def template(own: str | None = None) -> str:
    """Returns what precedes an explanation: a paragraph with ``{window}``, and behind it the question, which alone is read where there is none.

    Raises:
        GlossaError: the prompt ``own`` has another form.
    """
    found = prompts.read(own, PROMPT, HOLDS).partition(" {explanation}")[0]
    if "{window}" in question(found) or not question(found).strip():
        raise GlossaError(
            f"expected {{window}} in the prompt {own}, and a question with {{explanation}} behind an empty line, found them in one "
            f"paragraph; {prompts.HELP}"
        )
    return found


def question(template: str) -> str:
    """Returns what precedes an explanation where there is no window."""
    return template.rpartition("\n\n")[2]


def prompt(template: str, window: str) -> str:
    """Returns what precedes the explanations of a window."""
    return template.replace("{window}", window)


class _Asking:
    """A model that says how likely explanations are, behind windows and without."""

    def __init__(self, local: Local, template: str, explanations: Sequence[str]):
        """Computes the probability that each of the explanations has without a window, once."""
        from stages.llm.providers.local import Row

        self._local, self._template = local, template
        ahead = question(template)
        said = {text: " ".join(text.split()) for text in dict.fromkeys(explanations)}
        self._tails = {text: local.after(ahead, f" {line}") if line else [] for text, line in said.items()}
        head = local.head(ahead)
        fitting = [text for text, tail in self._tails.items() if tail and self._lacks(head, tail) is None]
        read = local.read_behind(head, [Row.behind(head, self._tails[text]) for text in fitting])
        self._alone = {text: _sum(values) for text, values in zip(fitting, read, strict=True)}

    def judged(self, items: Sequence[Item], examples: Sequence[Example]) -> Iterator[Judged]:
        """Yields the verdicts on a latent's windows for each of its explanations; every window is read once for all of them."""
        texts = list(dict.fromkeys(example.text for example in examples if example.text))
        explanations = list(dict.fromkeys(item.text for item in items))
        likely = dict(zip(texts, self._likely(texts, explanations), strict=True))
        for item in items:
            found = [likely[example.text][item.text] if example.text else NO_TEXT for example in examples]
            values = [None if isinstance(one, str) else one - self._alone[item.text] for one in found]
            reasons = [one if isinstance(one, str) else None for one in found]
            yield Judged(item, verdicts(item, examples, value=values, reason=reasons))

    def _likely(self, texts: Sequence[str], explanations: Sequence[str]) -> list[dict[str, float | str]]:
        """For every text, log p of each explanation behind it, or why there is none; a text goes through the model once for all of them."""
        from stages.llm.providers import tree
        from stages.llm.providers.local import Row

        heads = [self._local.head(prompt(self._template, text)) for text in texts]
        self._check(heads)
        found: list[dict[str, float | str]] = []
        rows: list[list[Row]] = []
        for head in heads:
            reasons = {
                text: self._lacks(head, tail) if (tail := self._tails[text]) else NOTHING_SAID for text in explanations
            }
            found.append({text: reason for text, reason in reasons.items() if reason is not None})
            rows.append([Row.behind(head, self._tails[text]) for text in explanations if reasons[text] is None])
        for into, values in zip(found, tree.read(self._local, rows), strict=True):
            fitting = [text for text in explanations if text not in into]
            into.update({text: _sum(one) for text, one in zip(fitting, values, strict=True)})
        return found

    def _lacks(self, head: list[int], tail: list[int]) -> str | None:
        """Why the model can't read ``tail`` behind ``head``, if so."""
        n, limit = len(head) + len(tail) - 1, self._local.limit
        if limit is None or n <= limit:
            return None
        return f"the window with the explanation has {n:,} tokens, but the model reads at most {limit:,}"

    def _check(self, heads: Sequence[list[int]]) -> None:
        limit, least = self._local.limit, min(map(len, heads), default=0)
        if limit is not None and least > limit:
            raise GlossaError(
                f"the model {self._local.name} reads at most {limit:,} tokens, but the prompt of pmi with a window has {least:,}; "
                "use another model"
            )


def _sum(values: Any) -> float:
    return float(values.sum(dtype=np.float64))
