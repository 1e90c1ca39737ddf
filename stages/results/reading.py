"""Everything the earlier stages found, read once, by coder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow.compute as pc

from stages import params, paths, plan
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples
from stages.explainers import table as explanations_table
from stages.outputs import read_meta, read_rows
from stages.results import similarity
from stages.scorers import table as scores_table
from stages.scorers.table import ALL
from stages.similarity import table as similarity_table

NEGATIVES, DECILE = "negatives ", "decile "
"""What a measure of some of the examples is of."""
NO_REASON = "no reason given"


def natural_metric(metric: str) -> str:
    """Which measure says, beside a metric, what it would come to in the corpus."""
    return "natural_auprc" if metric == "auroc" else "natural_f1"


class Explained(NamedTuple):
    """An explanation, or the reason why there is none."""

    text: str | None
    reason: str | None


class Score(NamedTuple):
    """A latent's score in the unit of its scorer's metric, or the reason why there is none."""

    score: float | None
    low: float | None
    high: float | None
    n: int
    unscored: int
    reason: str | None


@dataclass(frozen=True)
class Scores:
    """What one scorer made of one explainer's explanations."""

    meta: dict[str, Any]
    own: dict[int, Score]
    """By latent; a scorer may have scored only some."""
    floor: dict[int, Score]
    """The same latents, scored with the explanation of another latent."""
    natural: dict[int, float] = field(default_factory=dict)
    """By latent, what its own explanation comes to where windows are met as often as in the corpus (``natural_metric``)."""

    @property
    def metric(self) -> str:
        """What the metric of the scores is called."""
        return self.meta["label"]

    @property
    def chance(self) -> float | None:
        """What guessing comes to, if that is known."""
        return self.meta["chance"]

    @property
    def is_bounded(self) -> bool:
        """Whether the metric is 1 at most."""
        return self.meta["bounded"]

    @property
    def natural_metric(self) -> str:
        """F1 for verdicts, AUPRC for a ranking."""
        return natural_metric(self.meta["metric"])

    def measure(self, metric: str, of: str = ALL, explanation: str = scores_table.OWN) -> dict[str, Any]:
        """A mean over latents with ``value``, ``low``, ``high`` and ``n_latents``; all None and 0 where there is none."""
        found = self.meta["overall"].get(explanation, {}).get(metric, {}).get(of)
        return found or {"value": None, "low": None, "high": None, "n_latents": 0}

    def values(self, of: str = ALL) -> dict[str, float]:
        """{metric: its mean over latents} of some of the examples."""
        own = self.meta["overall"][scores_table.OWN]
        return {
            metric: parts[of]["value"] for metric, parts in own.items() if parts.get(of, {}).get("value") is not None
        }

    def overall(self, key: str) -> Any:
        """One number over all latents scored with their own explanation: ``score``, ``low``, ``high`` or ``n_latents``."""
        return self.measure(self.meta["metric"])["value" if key == "score" else key]

    @property
    def overall_floor(self) -> float | None:
        """The mean that other latents' explanations score; for a scorer of latents, what guessing scores."""
        if scores_table.SHUFFLED not in self.meta["overall"]:
            return self.chance
        return self.measure(self.meta["metric"], explanation=scores_table.SHUFFLED)["value"]

    @property
    def floor_name(self) -> str:
        """What the floor is called: of a scorer of latents, which has no other explanations to compare with, it is chance."""
        return "floor" if self.floor else "chance"

    @property
    def unscored(self) -> dict[str, Any]:
        """How many ``latents`` have no score and how many ``examples`` no verdict, and both ``…_by_reason``."""
        return self.meta["unscored"][scores_table.OWN]

    def by_kind(self) -> dict[str, float]:
        """{kind of negatives: the headline with those alone}."""
        parts = self.meta["overall"][scores_table.OWN].get(self.meta["metric"], {})
        kinds = {of.removeprefix(NEGATIVES): found["value"] for of, found in parts.items() if of.startswith(NEGATIVES)}
        return {kind: value for kind, value in kinds.items() if value is not None}

    def by_decile(self) -> tuple[str, dict[int, float]]:
        """The metric that is known by decile, and {decile: its mean}; nothing if none is."""
        for metric in dict.fromkeys(("sensitivity", self.meta["metric"])):
            parts = self.meta["overall"][scores_table.OWN].get(metric, {})
            found = {int(of.removeprefix(DECILE)): parts[of]["value"] for of in parts if of.startswith(DECILE)}
            if any(value is not None for value in found.values()):
                return metric, {decile: value for decile, value in sorted(found.items()) if value is not None}
        return "", {}

    def floor_of(self, latent: int) -> float | None:
        """What another latent's explanation scored on ``latent``; for a scorer of latents, what guessing scores."""
        floor = self.floor.get(latent)
        return floor.score if floor else None if scores_table.SHUFFLED in self.meta["overall"] else self.chance


@dataclass(frozen=True)
class CoderResults:
    """All that is known of one coder; dicts are in the order of params.yaml."""

    name: str
    hookpoint: str
    meta: dict[str, Any]
    """The facts that the sample stage left: ``n_latents``, ``dead``, ``chosen``, ``kept``, ``dropped`` and more."""
    explanations: dict[str, dict[int, Explained]]
    """By explainer, then by latent."""
    scores: dict[str, dict[str, Scores]]
    """By explainer, then by scorer."""
    of_latents: dict[str, Scores] = field(default_factory=dict)
    """By scorer, what those found that need no explanation."""
    imported: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By explainer that reads explanations instead of making them, what is known of how they were made, and how many are ``explained``."""

    @property
    def kind(self) -> str:
        """``random`` and ``neurons`` are controls."""
        kind = self.meta.get("coder", {}).get("format")
        return kind if kind in ("random", "neurons") else "coder"

    def examples(self) -> Examples:
        """The sampled windows, opened anew so that their memory is let go after use."""
        return Examples.open(paths.examples(self.name))

    def unexplained(self, explainer: str) -> dict[str, int]:
        """How many latents ``explainer`` left without an explanation, by reason."""
        found: dict[str, int] = {}
        for explained in self.explanations[explainer].values():
            if explained.text is None:
                reason = explained.reason or NO_REASON
                found[reason] = found.get(reason, 0) + 1
        return found

    def explained(self, explainer: str) -> int:
        """How many latents ``explainer`` explained."""
        return len(self.explanations[explainer]) - sum(self.unexplained(explainer).values())


@dataclass(frozen=True)
class Results:
    """All that the report is made from."""

    tokens: Tokens
    coders: dict[str, CoderResults]
    explainers: list[str]
    scorers: list[str]
    """Those of explanations."""
    scorers_of_latents: list[str]
    pairs: list[dict[str, Any]]
    """How alike two coders are by one explainer (``similarity.flat``)."""
    lists: dict[str, Any]
    """By explainer, the lists of data/similarity that people read."""
    choice: dict[str, Any]
    """How many pairs of coders were compared of how many, by which rule, and why the others were left out."""

    @property
    def compared(self) -> list[str]:
        """The coders in the order of params.yaml, those of other projects last, as far as they were compared."""
        found = dict.fromkeys(pair[side] for pair in self.pairs for side in ("a", "b"))
        return [name for name in dict.fromkeys([*self.coders, *found]) if name in found]

    @cached_property
    def ordinary_tokens(self) -> int:
        """Tokens of the corpus that are not special."""
        meta = self.tokens.meta
        return meta["rows"] * meta["context_length"] - meta["special_positions"]

    def random_coder(self, coder: CoderResults) -> CoderResults | None:
        """The coder of random directions at the same place of the same subject: a floor of all that ``coder`` scores."""
        subject = coder.meta["subject"]
        for other in self.coders.values():
            same = (other.hookpoint, other.meta["subject"]) == (coder.hookpoint, subject)
            if same and other.kind == "random" and other is not coder:
                return other
        return None

    def random_scores(self, coder: CoderResults, explainer: str | None, scorer: str) -> Scores | None:
        """What ``scorer`` makes of that coder, by an explainer's explanations or, without, of its latents themselves."""
        random = self.random_coder(coder)
        if random is None:
            return None
        return (random.of_latents if explainer is None else random.scores.get(explainer, {})).get(scorer)

    def l0(self, coder: CoderResults) -> float:
        """Latents that fire on a token, on average."""
        return coder.meta["n_events"] / max(1, self.ordinary_tokens)


def read(p: params.Params) -> Results:
    """Reads what the earlier stages wrote for every entry of params.yaml.

    Raises:
        GlossaError: an output is missing, damaged or of another version.
    """
    coders = {name: read_coder(p, name) for name in p.coders}
    compared = read_meta(paths.SIMILARITY, similarity_table.SCHEMA, similarity_table.VERSION)
    pairs = [similarity.flat(pair, compared["ceilings"]) for pair in compared["pairs"]]
    of_latents = plan.scorers_of_latents(p)
    others = [name for name in p.scorers if name not in of_latents]
    return Results(
        Tokens.open(), coders, list(p.explainers), others, of_latents, pairs, similarity.lists(), compared["choice"]
    )


def read_coder(p: params.Params, name: str, latent: int | None = None, unfinished: bool = False) -> CoderResults:
    """Reads what is known of the coder ``name``, or of one ``latent`` of it alone.

    Of an ``unfinished`` run explanations and scores may be missing; they are then missing in what is returned.

    Raises:
        GlossaError: an output is missing, damaged or of another version.
    """
    meta = Examples.open(paths.examples(name)).meta
    scores: dict[str, dict[str, Scores]] = {explainer: {} for explainer in p.explainers}
    for coder, explainer, scorer in plan.wanted(p):
        if coder == name and not (unfinished and not paths.scores(coder, explainer, scorer).exists()):
            scores.setdefault(explainer, {})[scorer] = _scores(coder, explainer, scorer, latent)
    of_latents = scores.pop(params.LATENT, {})
    explainers = [e for e in p.explainers if not unfinished or paths.explanations(name, e).exists()]
    return CoderResults(
        name,
        meta["hookpoint"],
        meta,
        {explainer: _explanations(name, explainer, latent) for explainer in explainers},
        scores,
        of_latents,
        dict(_imported(name, explainers)),
    )


def _imported(coder: str, explainers: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for explainer in explainers:
        meta = read_meta(paths.explanations(coder, explainer), explanations_table.SCHEMA, explanations_table.VERSION)
        if (found := meta.get("imported")) is not None:
            yield explainer, {**found, "explained": meta["explained"]}


def _explanations(coder: str, explainer: str, only: int | None = None) -> dict[int, Explained]:
    folder = paths.explanations(coder, explainer)
    read_meta(folder, explanations_table.SCHEMA, explanations_table.VERSION)
    table = read_rows(folder / "explanations.parquet", only)
    columns = (table[name].to_pylist() for name in ("latent", "explanation", "reason"))
    return {latent: Explained(text, reason) for latent, text, reason in zip(*columns, strict=True)}


def _scores(coder: str, explainer: str, scorer: str, only: int | None = None) -> Scores:
    folder = paths.scores(coder, explainer, scorer)
    table, meta = scores_table.read(folder, only)
    kinds: dict[str, dict[int, Score]] = {}
    columns = (table[name].to_pylist() for name in ("explanation", "latent", *Score._fields))
    for kind, latent, *values in zip(*columns, strict=True):
        kinds.setdefault(kind, {})[latent] = Score(*values)
    measures = scores_table.read_measures(folder, only)
    chosen = pc.and_(pc.equal(measures["metric"], natural_metric(meta["metric"])), pc.equal(measures["subset"], ALL))
    chosen = pc.and_(chosen, pc.and_(pc.equal(measures["explanation"], scores_table.OWN), measures["value"].is_valid()))
    rows = measures.filter(chosen)
    natural = dict(zip(rows["latent"].to_pylist(), rows["value"].to_pylist(), strict=True))
    return Scores(meta, kinds.get(scores_table.OWN, {}), kinds.get(scores_table.SHUFFLED, {}), natural)


def measures_of(coder: str, explainer: str, scorer: str, latent: int) -> dict[tuple[str, str], float | None]:
    """Returns {(metric, subset): value} of one latent with its own explanation."""
    measures = scores_table.read_measures(paths.scores(coder, explainer, scorer), latent)
    rows = measures.filter(pc.equal(measures["explanation"], scores_table.OWN)).to_pylist()
    return {(row["metric"], row["subset"]): row["value"] for row in rows}
