"""Answers that repeat what the model was shown instead of explaining a latent: a worked example, or the remark of a question asked again.

Small models do it: of the first 30 latents that Qwen2.5-Coder-1.5B-Instruct explained by ``default``, 18 got the explanation of a
worked example, word for word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from stages.llm.server.exchange import REMARK

EXAMPLE = "the model repeated a worked example"
TOLD = "the model repeated what it was told of its earlier answer"

NEAR = 0.8
"""From this share of words in common, in their order (2 common / all of both), a text is a worked example with a few words changed."""

ALIKE = 0.2
"""From this share on explanations that say what another says are doubtful; several latents of one word are nothing strange."""

WORD = re.compile(r"\w+")
QUOTED = re.compile(r"[\"“']([^\"“”']{2,40})[\"”']")


def parroted(text: str, worked: Iterable[str], shown: str) -> str | None:
    """Returns why ``text`` explains nothing, or None if it may.

    ``worked`` are the explanations of the worked examples, ``shown`` what the model was shown of the latent itself. A text that quotes what
    only a worked example quotes repeats it as well.
    """
    words = _words(text)
    if REMARK.search(text):
        return TOLD
    for example in worked:
        quotes = (quote for quote in QUOTED.findall(example) if quote.casefold() in text.casefold())
        if _near(words, _words(example)) or any(
            quote.strip("- ").casefold() not in shown.casefold() for quote in quotes
        ):
            return EXAMPLE
    return None


def alike(texts: Iterable[str | None]) -> int:
    """Returns how many of the texts are the text of another as well, but for case, punctuation and spaces."""
    counts = Counter(tuple(_words(text)) for text in texts if text is not None)
    return sum(n for n in counts.values() if n > 1)


def doubts(meta: Mapping[str, Any]) -> list[str]:
    """Returns what makes explanations doubtful as a whole, by their meta: clauses with numbers, none where all is well."""
    found = []
    if (n := meta.get("alike", 0)) and n >= ALIKE * max(1, meta["explained"]):
        found.append(f"{n} say what another says")
    if n := meta.get("asked_again", 0):
        found.append(f"{n} repeated a worked example and {'was' if n == 1 else 'were'} asked again without")
    return found


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())


def _near(words: Sequence[str], example: Sequence[str]) -> bool:
    """Whether the example's words are those of the text, but for a few, or stand in it as a whole."""
    if f" {' '.join(example)} " in f" {' '.join(words)} ":
        return True
    return SequenceMatcher(None, words, example, autojunk=False).ratio() >= NEAR
