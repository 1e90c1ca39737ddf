"""Everything the earlier stages found, read once, by coder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from stages import params, paths
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples
from stages.explainers import table as explanations_table
from stages.outputs import read_meta
from stages.publish import similarity
from stages.scorers import table as scores_table
from stages.similarity import table as similarity_table

METRICS = {"balanced_accuracy": "balanced accuracy", "auroc": "AUROC"}
"""How a scorer's metric is called where people read it."""
NO_REASON = "no reason given"


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

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return METRICS.get(self.meta["metric"], self.meta["metric"])

    def overall(self, key: str) -> Any:
        """One number over all latents scored with their own explanation, such as ``score`` or ``n_latents``."""
        return self.meta["overall"][scores_table.OWN][key]

    @property
    def overall_floor(self) -> float | None:
        """The score of other latents' explanations, over all latents."""
        return self.meta["overall"][scores_table.SHUFFLED]["score"]

    def floor_of(self, latent: int) -> float | None:
        """What another latent's explanation scored on ``latent``."""
        floor = self.floor.get(latent)
        return floor.score if floor else None


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
    pairs: list[dict[str, Any]]
    """How alike two coders are by one explainer (``similarity.flat``)."""
    lists: dict[str, Any]
    """By explainer, the lists of data/similarity that people read."""

    @cached_property
    def ordinary_tokens(self) -> int:
        """Tokens of the corpus that are not special."""
        meta = self.tokens.meta
        return meta["rows"] * meta["context_length"] - meta["special_positions"]

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
    return Results(Tokens.open(), coders, list(p.explainers), list(p.scorers), pairs, similarity.lists())


def read_coder(p: params.Params, name: str) -> CoderResults:
    """Reads what is known of the coder ``name``; raises GlossaError as ``read`` does."""
    meta = Examples.open(paths.examples(name)).meta
    return CoderResults(
        name,
        meta["hookpoint"],
        meta,
        {explainer: _explanations(name, explainer) for explainer in p.explainers},
        {explainer: {scorer: _scores(name, explainer, scorer) for scorer in p.scorers} for explainer in p.explainers},
    )


def _explanations(coder: str, explainer: str) -> dict[int, Explained]:
    table, _ = explanations_table.read(paths.explanations(coder, explainer))
    columns = (table[name].to_pylist() for name in ("latent", "explanation", "reason"))
    return {latent: Explained(text, reason) for latent, text, reason in zip(*columns, strict=True)}


def _scores(coder: str, explainer: str, scorer: str) -> Scores:
    table, meta = scores_table.read(paths.scores(coder, explainer, scorer))
    kinds: dict[str, dict[int, Score]] = {scores_table.OWN: {}, scores_table.SHUFFLED: {}}
    columns = (table[name].to_pylist() for name in ("explanation", "latent", *Score._fields))
    for kind, latent, *values in zip(*columns, strict=True):
        kinds[kind][latent] = Score(*values)
    return Scores(meta, kinds[scores_table.OWN], kinds[scores_table.SHUFFLED])
