"""``pattern``: the built-in judge. No language model: it takes the quoted words of an explanation at their word.

It sees what a language model would see, the messages of a request, and nothing else. A baseline that is named as one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal

from stages.corpus.lexis import PLACES, QUOTED, SHAPES, UNIT, read_back
from stages.llm import Provider
from stages.llm.forms import odd_one_out, strengths
from stages.llm.forms.labels import KEYS
from stages.llm.providers import writing
from stages.llm.request import Answer, Request

EXAMPLE = re.compile(r"^([a-z]): (\".*\")$", re.MULTILINE)
TOKEN = re.compile(r"^([a-z]+): (\".*\")$", re.MULTILINE)
EXPLANATION = re.compile(r"^Explanation: (\".*\")$", re.MULTILINE)
MARKED = re.compile(r"\u00ab(.*?)\u00bb", re.DOTALL)
COMMON = frozenset(
    {
        "about",
        "activates",
        "after",
        "and",
        "are",
        "before",
        "fires",
        "from",
        "have",
        "into",
        "like",
        "makes",
        "more",
        "most",
        "next",
        "often",
        "or",
        "other",
        "such",
        "text",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "these",
        "this",
        "tokens",
        "used",
        "when",
        "where",
        "which",
        "with",
        "word",
        "words",
    }
)
"""Words of an explanation that say nothing about where a latent fires."""


class Options(Provider):
    """The entry ``{provider: pattern}``."""

    APART: ClassVar[bool] = True
    """Whether several processes may answer at once."""

    provider: Literal["pattern"]

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yields the verdicts on every request's examples, as JSON."""
        for request in requests:
            text = request.messages[-1].content
            found = EXPLANATION.search(text)
            reading = read(json.loads(found.group(1))) if found else read("")
            if keys := writing.wanted(request.schema):
                yield _written(reading, keys)
                continue
            if keys := strengths.wanted(request.schema):
                tokens = [json.loads(token) for _, token in TOKEN.findall(text)]
                yield Answer(json.dumps(dict(zip(keys, levels(reading, tokens), strict=True))))
                continue
            examples = {key: json.loads(example) for key, example in EXAMPLE.findall(text)}
            if odd_one_out.wanted(request.schema):
                yield Answer(json.dumps({odd_one_out.NAME: odd_one(examples)}))
                continue
            verdicts = {key: judge(reading, examples[key]) for key in KEYS if key in examples}
            yield Answer(json.dumps(verdicts))


@dataclass(frozen=True)
class Reading:
    """What an explanation asks for, as far as a pattern can say."""

    targets: frozenset[str]
    before: frozenset[str]
    shapes: tuple[str, ...]
    places: tuple[str, ...]
    _known: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    def wants(self, unit: str) -> bool:
        """Whether a word or a run of symbols is a target; remembered, as texts repeat their words."""
        if unit not in self._known:
            self._known[unit] = self._decide(unit)
        return self._known[unit]

    def _decide(self, unit: str) -> bool:
        word = unit.lower()
        if word in self.targets or any(SHAPES[shape].fullmatch(unit) for shape in self.shapes):
            return True
        if word[:1].isalnum():
            return any(_part(target, word) for target in self.targets if target.startswith("-") or target.endswith("-"))
        return any(target in word for target in self.targets if not any(c.isalnum() for c in target))


@lru_cache(maxsize=4096)
def read(explanation: str) -> Reading:
    """Reads an explanation: quoted strings are targets, those between "after" and the next clause stand before them.

    An explanation without a quoted string or a known shape is read as its less common words.
    """
    clause = re.split(r", and (?:makes|promotes) |; ", explanation)[0]
    head, _, tail = clause.partition(' after "')
    targets = frozenset(read_back(quoted).lower() for quoted in QUOTED.findall(head))
    before = frozenset(read_back(quoted).lower() for quoted in QUOTED.findall('"' + tail)) if tail else frozenset()
    outside = QUOTED.sub("", clause)
    shapes = tuple(shape for shape in SHAPES if not targets and shape in outside)
    places = tuple(place for place in PLACES if f" in {place}" in outside)
    if not targets and not shapes:
        words = (word.lower() for word in re.findall(r"[^\W\d_]{3,}", explanation))
        targets = frozenset(word for word in words if word not in COMMON)
    return Reading(targets, before, shapes, places)


def judge(reading: Reading, example: str) -> bool:
    """Whether the example holds what the reading asks for; in a marked example, whether most marks are on it."""
    text, marks = _unmark(example)
    fits = _fitting(reading, text)
    if not marks:
        return bool(fits)
    right = sum(any(begin < b and a < end for a, b in fits) for begin, end in marks)
    return 2 * right > len(marks)


def levels(reading: Reading, tokens: list[str]) -> list[int]:
    """How strongly the latent would fire on each of consecutive tokens: 10 where the reading fits, even to a part, else 0."""
    fits = _fitting(reading, "".join(tokens))
    found, begin = [], 0
    for token in tokens:
        end = begin + len(token)
        found.append(strengths.HIGHEST if any(begin < b and a < end for a, b in fits) else 0)
        begin = end
    return found


def odd_one(examples: dict[str, str]) -> str:
    """The key of the example that has the fewest others with a marked word like one of its own, the first of equals.

    Where nothing is marked, all words count.
    """
    words = {key: set(UNIT.findall(" ".join(MARKED.findall(text) or [text]).lower())) for key, text in examples.items()}
    words = {key: {word for word in found if not word.isspace()} for key, found in words.items()}

    def alike(key: str) -> int:
        return sum(bool(words[key] & words[other]) for other in words if other != key)

    return min(words, key=alike)


def _written(reading: Reading, keys: list[str]) -> Answer:
    texts = writing.texts(reading, len(keys))
    if not texts:
        return Answer(None, "the explanation names nothing to write")
    return Answer(json.dumps(dict(zip(keys, texts, strict=True))))


def _unmark(example: str) -> tuple[str, list[tuple[int, int]]]:
    """Returns the text without marks, and where they were."""
    marks = []
    removed = 0
    for found in MARKED.finditer(example):
        begin = found.start() - removed
        marks.append((begin, begin + len(found.group(1))))
        removed += 2
    return MARKED.sub(r"\1", example), marks


def _fitting(reading: Reading, text: str) -> list[tuple[int, int]]:
    """The stretches of ``text`` that fit the reading."""
    inside = [found.span() for place in reading.places for found in PLACES[place].finditer(text)]
    fits = []
    before = ""
    for unit in UNIT.finditer(text):
        word = unit.group().lower()
        if reading.wants(unit.group()) and (not reading.before or before in reading.before):
            begin, end = unit.span()
            if not reading.places or any(a <= begin < b for a, b in inside):
                fits.append((begin, end))
        if not word.isspace():
            before = word
    return fits


def _part(target: str, word: str) -> bool:
    """Whether ``word`` goes on where the hyphens of ``target`` say so, as in ``-ing``, ``pre-`` and ``-at-``."""
    core = target.strip("-")
    if not core or len(core) >= len(word):
        return False
    if not target.startswith("-"):
        return word.startswith(core)
    if not target.endswith("-"):
        return word.endswith(core)
    return core in word[1:-1]
