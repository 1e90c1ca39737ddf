"""``best_of``: several explanations of a latent, of which a judge chooses on windows that are neither train nor test (arXiv 2511.08579).

The judge does what the detection scorer does: it says in which of the validation windows the latent fires.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from stages import llm
from stages.corpus.tokens import Tokens, Vocabulary
from stages.errors import GlossaError
from stages.examples.table import LatentExamples
from stages.explainers import default
from stages.explainers.asking import AskingOfTexts
from stages.explainers.table import Explanation
from stages.scorers import Context, Item, detection

LATENTS = 256
"""Latents whose candidates are written before they are judged; it bounds the windows held in memory."""

Score = float | None


class Options(AskingOfTexts):
    """The entry ``{kind: best_of, model: …, judge: …}``; needs ``sampling.validation``, with negatives."""

    PROMPT: ClassVar[Path] = default.Options.PROMPT

    kind: Literal["best_of"]

    candidates: Annotated[int, Field(ge=2, le=20)] = 4
    """Explanations of a latent that are asked for."""

    judge: dict[str, Any]
    """The model that judges them."""

    examples_per_prompt: Annotated[int, Field(ge=1, le=20)] = 5
    """Windows that it judges at once."""

    def explain(self, latents: Iterable[LatentExamples], tokens: Tokens) -> Iterator[Explanation]:
        """Yields the candidate of highest balanced accuracy, the first of several, or the reason why there is none.

        Raises:
            GlossaError: the model would say the same every time, or there are no windows to choose by.
        """
        model = llm.load("model", self.model)
        if getattr(model, "temperature", None) == 0:
            raise GlossaError(
                "the model of an explainer of kind best_of should have a temperature above 0 in params.yaml, found 0, at "
                "which all candidates are alike; set one, such as 0.7"
            )
        form = self._form(model)
        turns = self._turns(form)
        left = iter(latents)
        is_first = True
        while part := list(islice(left, LATENTS)):
            if is_first and not any(map(_choosable, part)):
                raise GlossaError(
                    "explainers of kind best_of need windows to choose by, but the sample has none for validation, or none "
                    "without the latent; set sampling.validation in params.yaml, such as {n: 10, negatives: {random: 10}}"
                )
            is_first = False
            asked = [
                (latent, number) for latent in part for number in range(self.candidates if _choosable(latent) else 1)
            ]
            questions = (self._question(latent, tokens.vocabulary, turns, form, sample) for latent, sample in asked)
            found: dict[int, list[Explanation]] = {}
            for candidate in self._ask(model, questions, form):
                found.setdefault(candidate.latent, []).append(candidate)
            scores = self._scores(part, found, tokens.vocabulary)
            for latent in part:
                yield _best(found[latent.latent], scores.get(latent.latent, {}))

    def _scores(
        self, latents: list[LatentExamples], found: dict[int, list[Explanation]], vocabulary: Vocabulary
    ) -> dict[int, dict[str, Score]]:
        """{latent: {text: balanced accuracy}} of the latents that have different texts to choose from."""
        items, texts = [], []
        for latent in latents:
            different = list(dict.fromkeys(candidate.text for candidate in found[latent.latent] if candidate.text))
            shown = replace(latent, test=latent.validation, negative=latent.validation_negative)
            if len(different) > 1:
                items += [Item(shown, text, f"candidate {number:02}") for number, text in enumerate(different)]
                texts += different
        if not items:
            return {}
        judge = detection.Options(kind="detection", model=self.judge, examples_per_prompt=self.examples_per_prompt)
        judged = judge.score(items, Context(vocabulary, 0)).scores
        keys = zip(judged["latent"].to_pylist(), judged["explanation"].to_pylist(), strict=True)
        of_item = dict(zip(keys, judged["score"].to_pylist(), strict=True))
        scores: dict[int, dict[str, Score]] = {}
        for item, text in zip(items, texts, strict=True):
            number = item.examples.latent
            scores.setdefault(number, {})[text] = of_item[number, item.control]
        return scores


def _choosable(latent: LatentExamples) -> bool:
    return bool(len(latent.validation) and len(latent.validation_negative))


def _best(candidates: list[Explanation], scores: dict[str, Score]) -> Explanation:
    """The candidate of the highest score, the first of equals; one that could not be scored comes after all others."""

    def merit(candidate: Explanation) -> tuple[bool, float]:
        score = scores.get(candidate.text or "")
        return candidate.text is not None, -1.0 if score is None else score

    best = max(candidates, key=merit)
    tried = [{"text": one.text, "reason": one.reason, "score": scores.get(one.text or "")} for one in candidates]
    return best._replace(evidence={**best.evidence, "candidates": tried})
