"""A model of whose answers none can be read is not asked on and on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from stages.errors import GlossaError
from stages.llm.request import NOT_ASKED, Answer

FIRST = 20
"""Answers of which one at least has to be of use, or the stage ends."""


def heard(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Yields the answers.

    Raises:
        GlossaError: the first ``FIRST`` have no content, all of them after a model was asked.
    """
    reasons: Counter[str] = Counter()
    for number, answer in enumerate(answers, 1):
        if number <= FIRST and answer.content is None and answer.reason != NOT_ASKED:
            reasons[answer.reason or "no reason given"] += 1
            if reasons.total() == FIRST:
                why, n = reasons.most_common(1)[0]
                raise GlossaError(
                    f"expected answers of the model that can be used, but none of its first {FIRST} can, {n} of them because {why}; see what its "
                    "server does with glossa probe, and change the model's entry in params.yaml"
                )
        yield answer
