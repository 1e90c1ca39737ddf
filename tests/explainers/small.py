"""Small latents made by hand, and prompts read back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from stages import explainers, llm
from stages.corpus.tokens import Tokens, Vocabulary
from stages.examples.table import LatentExamples, Windows
from stages.explainers.table import Explanation
from stages.llm.request import Answer, Request

WRITER = {"provider": "openai", "endpoint": "lab", "model": "m"}
FIRES = re.compile(r'(Text|Silent text) (\d+): (".*")')
STRENGTH = re.compile(r'("(?:[^"\\]|\\.)*") (\d+)')


class Example(NamedTuple):
    """A text of a prompt."""

    text: str
    """Without marks."""
    marked: list[str]
    listed: list[tuple[str, int]]


class Shown(NamedTuple):
    """The last turn of a request."""

    fires: list[Example]
    silent: list[str]
    lists: dict[str, list[tuple[str, int]]]


def read(request: Request) -> Shown:
    """Reads the last turn back, line by line; fails if there is a line of another form."""
    shown = Shown([], [], {})
    for line in request.messages[-1].content.splitlines():
        if found := FIRES.fullmatch(line):
            kind, number, text = found.group(1), int(found.group(2)), json.loads(found.group(3))
            if kind == "Text":
                bare = text.replace("«", "").replace("»", "")
                shown.fires.append(Example(bare, re.findall("«(.*?)»", text, re.DOTALL), []))
                assert number == len(shown.fires)
            else:
                shown.silent.append(text)
                assert number == len(shown.silent)
            continue
        name, _, rest = line.partition(": ")
        listed = [(json.loads(text), int(n)) for text, n in STRENGTH.findall(rest)]
        assert rest == ", ".join(f"{text} {n}" for text, n in STRENGTH.findall(rest))
        if name == "Firing":
            shown.fires[-1].listed.extend(listed)
        else:
            assert name in ("Promoted", "Suppressed", "Boosted")
            shown.lists[name] = listed
    return shown


def windows(rows: list[list[str]], vocabulary: list[str], fires: dict[str, float], kind: str | None = None) -> Windows:
    """Windows of these words, on which the latent fires as ``fires`` says."""
    tokens = np.array([[vocabulary.index(word) for word in row] for row in rows], np.int32).reshape(len(rows), -1)
    activations = np.array([[fires.get(word, 0) for word in row] for row in rows], np.float32).reshape(len(rows), -1)
    starts = np.arange(len(rows)) * max(1, tokens.shape[1])
    return Windows(starts, np.ones(len(rows), np.int8), tokens, activations, [kind] * len(rows))


class Small(NamedTuple):
    """A latent and the vocabulary of its corpus."""

    latent: LatentExamples
    tokens: Any
    """What an explainer needs of ``Tokens``."""


class Corpus(NamedTuple):
    """Stands for ``Tokens`` where only the vocabulary is needed."""

    vocabulary: Vocabulary


def small(
    train: list[str],
    fires: dict[str, float],
    peak: float,
    promoted: dict[str, float] | None = None,
    number: int = 7,
    **silent: list[str],
) -> Small:
    """A latent that fires on some words of these texts; words begin with their space."""
    split = {
        name: [re.findall(r"\s?\S+", text) for text in texts] for name, texts in {"train": train, **silent}.items()
    }
    words = sorted({word for rows in split.values() for row in rows for word in row} | set(promoted or {}) | {"<end>"})
    vocabulary = Vocabulary(
        [word.encode() for word in words], np.ones(len(words), np.int64), np.array([word == "<end>" for word in words])
    )
    ordered = sorted(promoted or {}, key=lambda word: -(promoted or {})[word])
    facts: dict[str, Any] = {"max": peak, "top_tokens": None, "top_values": None}
    if promoted:
        ids, values = [words.index(word) for word in ordered], [promoted[word] for word in ordered]
        facts |= {
            "top_tokens": ids,
            "top_values": values,
            "bottom_tokens": ids[::-1],
            "bottom_values": [-v for v in values],
        }
    part = {name: windows(rows, words, {} if "negative" in name else fires, "random") for name, rows in split.items()}
    none = Windows.none()
    latent = LatentExamples(
        number, facts, part.pop("train"), part.pop("test", none), part.pop("negative", none), **part
    )
    return Small(latent, Corpus(vocabulary))


def changed(small: Small, /, **parts: Any) -> Small:
    """The latent with other parts."""
    return small._replace(latent=replace(small.latent, **parts))


class Writer:
    """A model that answers with what ``said`` says to each request, and remembers the requests."""

    temperature = 0.7

    def __init__(self, said: Callable[[Request], str | Answer] | str, structured: str = "schema"):
        self.said = said
        self.structured = structured
        self.requests: list[Request] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for number, request in enumerate(requests):
            self.requests.append(request)
            said = self.said if isinstance(self.said, str) else self.said(request)
            yield said if isinstance(said, Answer) else Answer(said, key=f"call {number}", model="m")


def explain(
    monkeypatch: pytest.MonkeyPatch, kind: str, writer: Writer, *latents: Small, **options: Any
) -> list[Explanation]:
    """What an explainer says of these latents when ``writer`` is its model."""
    monkeypatch.setattr(llm, "load", lambda key, entry: writer)
    unit = explainers.load("mine", {"kind": kind, "model": WRITER, **options})
    tokens: Tokens = latents[0].tokens
    return list(unit.explain((small.latent for small in latents), tokens))
