"""``simulation``: can the activations be predicted token by token from the explanation (Bills et al. 2023; arXiv 2410.13928, §3.3)?

The judge says for every token, from 0 to 10, how strongly the latent fires. The score is the Pearson correlation of what it says
with the true activations over the tokens of all windows together, never a mean over windows. Tokens that only together spell a
character (``corpus.units``) are asked about and count once, with the largest of their activations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, tee
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from stages import llm, prompts, registry
from stages.corpus import units
from stages.corpus.alone import is_unreadable
from stages.corpus.tokens import Vocabulary
from stages.errors import GlossaError
from stages.examples.table import Windows
from stages.llm.forms import strengths
from stages.llm.heard import heard
from stages.llm.request import Message, Request
from stages.machine.progress import bar
from stages.scorers import Context, Item, Judged, Judging, Metric, Scorer, summary
from stages.scorers.agreement import METRICS, Curve, agreement
from stages.scorers.shown import Example, spread, verdicts
from stages.scorers.table import ALL
from stages.text.sanitise import quoted

PROMPT = Path(__file__).with_name("simulation.md")
NO_TEXT = "the window has no text"


class Shown(NamedTuple):
    """A window that is simulated."""

    item: Item
    example: Example | None
    """None stands for an item that has no window."""
    length: int
    """Tokens of the window."""
    units: list[units.Unit]
    """Its tokens, those together that spell a character together; special ones, on which latents do not fire, are left out,
    and so are those of a character that the edge cuts, which nobody can read."""
    true: NDArray[np.floating]
    """[units] the latent's activation on each."""

    @property
    def texts(self) -> list[str]:
        """What each unit shows."""
        return [unit.text for unit in self.units]

    @property
    def lines(self) -> str:
        """What a model is shown of it."""
        pairs = zip(strengths.keys(len(self.units)), map(_quoted, self.texts), strict=True)
        return "\n".join(f"{key}: {text}" for key, text in pairs)


class Simulated(NamedTuple):
    """What is predicted of a window's units, from 0 to 10, or why nothing is."""

    values: Sequence[float] | None
    reason: str | None = None
    request: str | None = None
    model: str | None = None


class Options(Scorer):
    """The entry ``{kind: simulation, model: …}``."""

    METRIC: ClassVar[Metric] = Metric("pearson", "Pearson correlation", chance=0.0)
    APART: ClassVar[bool] = True

    kind: Literal["simulation"]
    model: dict[str, Any]
    prompt: str | None = None
    """A file of one's own in place of the mode's prompt."""
    mode: Literal["token_by_token", "all_at_once"] = "token_by_token"
    """``token_by_token``: the model answers with a number for every token. ``all_at_once``: the expected number, from the
    probabilities of 0 to 10 behind every token of a text in which all numbers are unknown; for a model in this process."""
    active: Annotated[int, Field(ge=1)] = 10
    """Test windows a latent, at most."""
    random: Annotated[int, Field(ge=0)] = 10
    """Negatives of the kind random a latent, at most."""
    choose: Literal["spread", "top"] = "spread"
    """Which test windows: as many from every decile, or the strongest."""

    @model_validator(mode="after")
    def _can_tell_probabilities(self) -> Options:
        provider = self.model.get("provider")
        if self.mode == "all_at_once" and provider in registry.PROVIDERS and provider != "transformers":
            raise PydanticCustomError(
                "mode",
                "should have mode: token_by_token, or a model with provider: transformers, as all_at_once needs the probabilities "
                "of given texts",
            )
        return self

    def judge(self, items: Collection[Item], context: Context) -> Judging:
        """Simulates a latent's windows by its explanation.

        Raises:
            GlossaError: the model can't be used.
        """
        model = llm.load("model", self.model)
        shown = self._windows_of(items, context)
        simulate = _at_once if self.mode == "all_at_once" else _one_by_one
        models: set[str] = set()
        with bar("simulate", total=len(items), unit="explanation") as progress:
            for _, group in groupby(simulate(model, shown, self.prompt), key=lambda pair: pair[0].item.key):
                own = list(group)
                models.update(found.model for _, found in own if found.model)
                yield _judged(own)
                progress.update()
        return {"models_answered": sorted(models)} if models else {}

    def summarise(self, judged: Sequence[Judged], context: Context) -> summary.Summary:
        """The score is ``pearson``; see ``agreement``."""
        scores, measures = [], []
        known: dict[tuple[int, str, int], Shown] = {}
        for item, found, *_ in judged:
            curves = list(_curves(item, found, context.vocabulary, known))
            generator = np.random.default_rng([context.seed, item.examples.latent, 0xB007])
            figures = agreement(curves, item.examples.facts["max"] / strengths.HIGHEST, generator)
            n = len(curves)
            scores.append(summary.score_row(*item.key, figures["pearson"], n, len(found) - n))
            measures += [summary.measure_row(*item.key, metric, ALL, figures[metric], n) for metric in METRICS]
        return summary.from_rows(scores, measures)

    def _windows_of(self, items: Iterable[Item], context: Context) -> Iterator[Shown]:
        """Yields the windows of items; the explanations of a latent share them."""
        for _, group in groupby(items, key=lambda item: item.examples.latent):
            first, *others = group
            windows = self.windows(first, context)
            yield from windows
            for item in others:
                yield from (one._replace(item=item) for one in windows)

    def windows(self, item: Item, context: Context) -> list[Shown]:
        """Returns the windows of a latent that are simulated; they do not depend on the explanation."""
        generator = np.random.default_rng([context.seed, item.examples.latent, 0x51B])
        test, negative = item.examples.test, item.examples.negative
        silent = np.array([place for place, kind in enumerate(negative.kinds) if kind == "random"], np.int64)
        silent = np.sort(generator.permutation(silent)[: self.random])
        found = [
            *_shown(item, "test", test, self._chosen(test, generator), context.vocabulary),
            *_shown(item, "negative", negative, silent, context.vocabulary),
        ]
        return found or [Shown(item, None, 0, [], np.empty(0))]

    def _chosen(self, test: Windows, generator: np.random.Generator) -> NDArray[np.int64]:
        if self.choose == "top":
            return np.sort(np.argsort(-test.activations.max(axis=1, initial=0), kind="stable")[: self.active])
        return spread(test, self.active, generator)


def _shown(item: Item, role: str, part: Windows, chosen: NDArray[np.int64], vocabulary: Vocabulary) -> Iterator[Shown]:
    for place in chosen.tolist():
        tokens = part.tokens[place]
        found = units.units(tokens.tolist(), vocabulary)
        true = units.largest(found, part.activations[place])
        ids = tokens.tolist()
        if vocabulary.whole[tokens].all():  # the rule, by far the faster: no token is a part of a character
            ordinary = np.flatnonzero(~vocabulary.special[tokens]).tolist()
        else:
            ordinary = [
                number
                for number, unit in enumerate(found)
                if not unit.special and not is_unreadable(unit, ids, vocabulary)
            ]
        decile, kind = int(part.deciles[place]), part.kinds[place]
        example = Example(vocabulary.text(tokens), int(part.starts[place]), role, kind, decile, role == "test")
        yield Shown(item, example, len(tokens), [found[number] for number in ordinary], true[ordinary])


def _judged(own: Sequence[tuple[Shown, Simulated]]) -> Judged:
    """A row for every window: its mean prediction and, for every token, that of its unit; none for a special token or a cut character."""
    columns: dict[str, list[Any]] = {name: [] for name in ("value", "values", "reason", "request")}
    there = [pair for pair in own if pair[0].example is not None]
    for one, found in there:
        values: list[float | None] | None = None
        if found.values is not None:
            values = [None] * one.length
            for unit, value in zip(one.units, map(float, found.values), strict=True):
                for place in range(unit.begin, unit.end):
                    values[place] = value
        mean = None if found.values is None else float(np.mean(found.values))
        for name, cell in zip(columns, (mean, values, found.reason, found.request), strict=True):
            columns[name].append(cell)
    item = own[0][0].item
    return Judged(item, verdicts(item, [one.example for one, _ in there if one.example], **columns))


def _curves(
    item: Item, found: pa.Table, vocabulary: Vocabulary, known: dict[tuple[int, str, int], Shown]
) -> Iterator[Curve]:
    """Of every window with predictions, these and the truth, by unit; ``known`` keeps what windows show for further explanations."""
    parts = {"test": item.examples.test, "negative": item.examples.negative}
    places = {(role, start): place for role, part in parts.items() for place, start in enumerate(part.starts.tolist())}
    columns = (found[name].to_pylist() for name in ("role", "window", "values"))
    for role, window, values in zip(*columns, strict=True):
        if (role, window) not in places:
            raise GlossaError(
                f"a verdict on latent {item.examples.latent} should be on one of its sampled windows, found {window}; run dvc repro"
            )
        if values is not None:
            key = (item.examples.latent, role, window)
            if key not in known:
                (known[key],) = _shown(item, role, parts[role], np.array([places[role, window]]), vocabulary)
            one = known[key]
            predicted = np.array([values[unit.begin] for unit in one.units], np.float64)
            yield Curve(one.true, predicted, role == "test")


def _one_by_one(model: llm.Model, shown: Iterable[Shown], own: str | None) -> Iterator[tuple[Shown, Simulated]]:
    """Asks for every window; one without text is not asked about."""
    instructions = Message("system", prompts.read(own, PROMPT, ["JSON"]))
    # The model draws as many windows ahead as it needs; tee holds those until their answers come.
    pairs, ahead = tee((one, _request(one, instructions) if one.units else None) for one in shown)
    answers = heard(model.answer(request for _, request in ahead if request is not None))
    for one, request in pairs:
        if request is None:
            yield one, Simulated(None, NO_TEXT)
            continue
        answer = next(answers)
        found = strengths.read(answer.content, len(one.units))
        key = answer.key or request.key
        yield one, Simulated(found.values, answer.reason or found.reason, key, answer.model)


def _request(one: Shown, instructions: Message) -> Request:
    user = f"Explanation: {quoted(one.item.text)}\n\nTokens:\n{one.lines}"
    return Request((instructions, Message("user", user)), strengths.schema(len(one.units)))


_quoted = lru_cache(maxsize=1 << 16)(quoted)


def _at_once(model: Any, shown: Iterable[Shown], own: str | None) -> Iterator[tuple[Shown, Simulated]]:
    """Reads the expected numbers of every window off the model's probabilities, those of an explanation together."""
    from stages.scorers.at_once import expected

    local = model.local()
    for _, group in groupby(shown, key=lambda one: (one.item.control, one.item.examples.latent)):
        ones = list(group)
        for one, found in zip(ones, expected(local, ones[0].item.text, [one.texts for one in ones], own), strict=True):
            if not one.units:
                yield one, Simulated(None, NO_TEXT)
            elif isinstance(found, str):
                yield one, Simulated(None, found)
            else:
                yield one, Simulated(found.tolist(), None, None, model.name)
