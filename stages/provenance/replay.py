"""An explain or score stage once more, with models that answer what its transcript says and ask nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages import explainers, llm, paths, scorers
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.explainers import table
from stages.llm.rehearsal import Noted, NothingAskedError, Rehearsal
from stages.provenance.answers import Answers
from stages.provenance.project import Project, Result
from stages.scorers import Scored, run

COMPUTES = "a model computes it in this process, without calls"
ONLY_FULL = "it computes with a model of its own: glossa audit --full runs it again"


@dataclass
class Replay:
    """What a stage asks and makes of the answers."""

    answers: Answers
    asked: Counter[str] = field(default_factory=Counter)
    """How often each key is asked for."""
    unanswered: list[bytes] = field(default_factory=list)
    """The requests that the transcript has no answer to."""
    computed: bool = False
    """Whether a model computes here, so that another machine may round otherwise."""
    explanations: pa.Table | None = None
    scored: Scored | None = None

    def note(self, noted: Noted) -> None:
        """Takes down one question."""
        self.asked[noted.key] += 1
        if noted.call is None:
            self.unanswered.append(noted.question.body)


def why_not(project: Project, result: Result) -> str | None:
    """Returns why a stage can't be run again here; None if it can."""
    entry = _entry(project, result)
    if entry["kind"] == "imported" and not Path(entry["path"]).exists():
        return f"{entry['path']}, which they were read from, is not here"
    if not project.full and computes(project, result):
        return ONLY_FULL
    for value in entry.values():
        if isinstance(value, dict) and value.get("provider") == "transformers":
            model: Any = llm.load("model", value)
            try:
                _ = model.endpoint  # the hash of its files, part of every key
            except GlossaError:
                return f"the model {value['model']}, by whose files answers are named, is not here"
    return None


def replay(project: Project, result: Result, latents: Sequence[int] | None = None) -> Replay | None:
    """Runs a stage again, an explain stage for some ``latents`` only if they are named.

    Returns None if a model would have to compute something else than answers.

    Raises:
        GlossaError: what the stage reads is missing or damaged.
    """
    found = Replay(Answers(result.folder), computed=computes(project, result))
    try:
        with llm.standing_in(Rehearsal(found.answers, found.note, shape=found.answers.shape)):
            if result.scorer is None:
                found.explanations = _explained(project, result, latents)
            else:
                found.scored = _scored(project, result)
    except NothingAskedError:
        return None
    return found


def _entry(project: Project, result: Result) -> Mapping[str, Any]:
    p = project.p
    return p.explainers[result.explainer] if result.scorer is None else p.scorers[result.scorer]


def computes(project: Project, result: Result) -> bool:
    """Whether an explainer or a scorer runs the subject, or a scorer embeds texts; raises GlossaError if an entry is wrong."""
    if result.scorer is None:
        return bool(project.p.explainers[result.explainer].get("boosted"))
    return scorers.load(result.scorer, project.p.scorers[result.scorer]).COMPUTES


def _explained(project: Project, result: Result, latents: Sequence[int] | None) -> pa.Table:
    unit = explainers.load(result.explainer, project.p.explainers[result.explainer])
    examples = Examples.open(paths.examples(result.coder))
    shown = examples if latents is None else examples.of(latents)
    prepared = unit.prepare(shown, project.p, result.coder)
    return table.rows(list(unit.explain(prepared, project.tokens)))


def _scored(project: Project, result: Result) -> Scored:
    p = project.p
    assert result.scorer is not None
    unit = scorers.load(result.scorer, p.scorers[result.scorer])
    examples = Examples.open(paths.examples(result.coder))
    texts = dict.fromkeys(examples.kept, "") if result.of_latent else table.texts(Result(*result[:2]).folder)
    context = scorers.Context(project.tokens.vocabulary, p.seed, result.coder, p)
    return unit.score(run.Items.choose(unit, examples, texts, context, not result.of_latent), context)
