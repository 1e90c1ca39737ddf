"""Answers of which only the values are open: each value is chosen among the few that the schema allows, by its probability.

Nothing is generated and nothing has to be read: the text of the answer is laid down, as JSON with a space behind every colon
and comma, and the model says how likely each possible value is at its place, behind the values chosen before it. All places are
read in one forward pass over a guess; where the guess was wrong the rest is read again, which is rarely needed more than twice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from stages.llm.providers.local import Beginning, Local, Row

LEAST = -9999.0
"""The log-probability of what can't be."""


class Value(NamedTuple):
    """One value of an answer: which of the spellings it is, and the log-probability of each."""

    chosen: int
    log_probabilities: list[float]


def choices(schema: dict[str, Any] | None) -> dict[str, tuple[str, ...]] | None:
    """Returns {key: how its possible values are spelt} of an object whose values are all true, false or of a list.

    None for any other schema.
    """
    if schema is None or schema.get("type") != "object":
        return None
    found: dict[str, tuple[str, ...]] = {}
    for key, part in schema["properties"].items():
        if part.get("type") == "boolean" and "enum" not in part:
            found[key] = ("false", "true")
        elif "enum" in part:
            found[key] = tuple(json.dumps(value, ensure_ascii=False) for value in part["enum"])
        else:
            return None
    return found or None


class Form:
    """The answer to one question while it is being filled in."""

    def __init__(
        self,
        local: Local,
        prompt: list[int],
        choices: dict[str, tuple[str, ...]],
        temperature: float,
        draws: Iterable[float],
    ):
        """Lays down the answer behind ``prompt``; ``draws``, from 0 to 1, decide above temperature 0, one for every value."""
        self._prompt, self._choices, self._temperature, self._draws = prompt, choices, temperature, draws
        self._fixed: list[list[int]] = []
        self._open: list[list[list[int]]] = []
        self._guess = [0] * len(choices)
        before = "\n"
        for place, (key, spellings) in enumerate(choices.items()):
            text = f"{', ' if place else '{'}{json.dumps(key)}:"
            self._fixed.append(local.after(before, text))
            self._open.append([local.after(text, f" {spelling}") for spelling in spellings])
            before = f" {spellings[0]}"

    def __len__(self) -> int:
        """Tokens of the prompt and the answer, at most."""
        return len(self._prompt) + sum(map(len, self._fixed)) + sum(max(map(len, spelt)) for spelt in self._open)

    def rows(self) -> list[Row]:
        """What has to be read: the guess, and beside it the spellings of several tokens that were not guessed."""
        from stages.llm.providers.local import Row  # with torch, which the other functions here can do without

        main = Row(list(self._prompt), [])
        beside = []
        for fixed, spelt, guess in zip(self._fixed, self._open, self._guess, strict=True):
            main.ids.extend(fixed)
            place = len(main.ids)
            for number, tokens in enumerate(spelt):
                wanted = [(place + i, token) for i, token in enumerate(tokens)]
                if number == guess or len(tokens) == 1:
                    main.wanted.extend(wanted)
                else:
                    beside.append(Row([*main.ids, *tokens[:-1]], wanted))
            main.ids.extend(spelt[guess])
        main.ids.pop()  # nothing follows the last token
        return [main, *beside]

    def fill_in(self, found: Sequence[Iterable[float]]) -> list[Value] | None:
        """Takes the log-probabilities of the rows; returns the values, or None if the guess was wrong and is now a better one."""
        main, beside = iter(found[0]), iter(found[1:])
        values = []
        for spelt, guess, draw in zip(self._open, self._guess, self._draws, strict=True):
            read = []
            for number, tokens in enumerate(spelt):
                if number == guess or len(tokens) == 1:
                    read.append([float(next(main)) for _ in tokens])
                else:
                    read.append(list(map(float, next(beside))))
            likely = [max(LEAST, round(value, 6)) for value in told_apart(spelt, read)]
            values.append(Value(self._choose(likely, draw), likely))
        chosen = [value.chosen for value in values]
        if chosen == self._guess:
            return values
        self._guess = chosen
        return None

    def text(self, values: Sequence[Value]) -> str:
        """The answer with its values."""
        pairs = zip(self._choices.items(), values, strict=True)
        return f"{{{', '.join(f'{json.dumps(key)}: {spelt[value.chosen]}' for (key, spelt), value in pairs)}}}"

    def reported(self, values: Sequence[Value]) -> list[dict[str, Any]]:
        """The log-probabilities, as a server reports those of an answer.

        What was laid down is certain. A value counts as one token, whose alternatives are all that were possible.
        """
        found = []
        for place, ((key, spellings), value) in enumerate(zip(self._choices.items(), values, strict=True)):
            found.append(_token(f"{', ' if place else '{'}{json.dumps(key)}:", 0.0))
            possible = [
                _token(f" {text}", likely) for text, likely in zip(spellings, value.log_probabilities, strict=True)
            ]
            found.append({**possible[value.chosen], "top_logprobs": possible})
        return [*found, _token("}", 0.0)]

    def _choose(self, likely: list[float], draw: float) -> int:
        if not self._temperature:
            return int(np.argmax(likely))
        share = np.exp((np.array(likely) - max(likely)) / self._temperature).cumsum()
        return int(np.searchsorted(share, draw * share[-1]))


def told_apart(spelt: Sequence[Sequence[int]], read: Sequence[Sequence[float]]) -> list[float]:
    """Returns the log-probability of every spelling from those of its tokens, each behind the ones before it.

    Where a spelling begins another, as 1 does 10 if digits are tokens, it counts as far as it is not continued to that one.
    """
    found = []
    for tokens, values in zip(spelt, read, strict=True):
        n = len(tokens)
        further = {
            other[n]: behind[n]
            for other, behind in zip(spelt, read, strict=True)
            if len(other) > n and list(other[:n]) == list(tokens)
        }
        ends = 1 - sum(map(math.exp, further.values()))
        found.append(sum(values) + (math.log(ends) if ends > 0 else LEAST))
    return found


def fill_in(local: Local, forms: Sequence[Form], beginning: Beginning | None = None) -> list[list[Value]]:
    """Returns the values of every form; ``beginning`` is what all of their prompts begin with, where that was read before."""
    from stages.llm.providers import tree  # with torch

    found: dict[int, list[Value]] = {}
    while left := [number for number in range(len(forms)) if number not in found]:
        rows = [forms[number].rows() for number in left]
        for number, read in zip(left, tree.read(local, rows, beginning), strict=True):
            values = forms[number].fill_in(read)
            if values is not None:
                found[number] = values
    return [found[number] for number in range(len(forms))]


def _token(text: str, log_probability: float) -> dict[str, Any]:
    return {"token": text, "logprob": log_probability, "bytes": list(text.encode())}
