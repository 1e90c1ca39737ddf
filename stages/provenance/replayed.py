"""Whether stages would ask what they asked, and make of the answers what they made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from stages.explainers import table as explanations_table
from stages.llm.rehearsal import UNANSWERED
from stages.machine.progress import bar
from stages.provenance import bodies, replay, tables
from stages.provenance.check import Check
from stages.provenance.files import GONE
from stages.provenance.project import Project, Result
from stages.provenance.replay import Replay
from stages.provenance.spread import Spread, here
from stages.provenance.tables import ROUNDING
from stages.provenance.values import shown
from stages.scorers import table as scores_table
from stages.scorers import trusted

OTHER_PROMPT = "its prompt is not what was sent"
MODEL_ROUNDING, RANK_ROUNDING = 1e-4, 1e-2
"""Of values that a model computes here, such as cosines of embeddings, and of figures made of their ranks: hardware rounds
differently."""


class Checks(NamedTuple):
    """The checks of this theme."""

    prompts: Check
    explanations: Check
    verdicts: Check
    figures: Check

    @classmethod
    def new(cls) -> Checks:
        """Before anything was looked at."""
        return cls(
            Check("prompts", "every prompt, rendered anew from files and examples, and what was sent"),
            Check("explanations", "every explanation, and its answer read anew"),
            Check("verdicts", "every verdict, and its answer read anew"),
            Check("figures", "every score and measure, and what its scorer makes of the same answers"),
        )


def checks(project: Project, spread: Spread | None = None) -> Iterator[Check]:
    """Has every stage run again, from now on, and yields the checks of prompts, explanations, verdicts and figures.

    What computes with a model of its own runs in this process, where it has all of the machine.
    """
    results = [*project.explained, *project.scored]
    alone = [project.full and replay.computes(project, result) for result in results]
    spreadable = [result for result, is_alone in zip(results, alone, strict=True) if not is_alone]
    others = (spread or here(project)).map(of_result, spreadable)

    def merged() -> Iterator[Check]:
        found = Checks.new()
        stages = bar("audit, replay", total=len(results), unit="stage", iterable=results)
        for result, is_alone in zip(stages, alone, strict=True):
            for check, part in zip(found, of_result(project, result) if is_alone else next(others), strict=True):
                check.take(part)
        yield from found

    return merged()


def of_result(project: Project, result: Result) -> Checks:
    """What there is to say of one stage."""
    found = Checks.new()
    compared = [found.explanations] if result.scorer is None else [found.verdicts, found.figures]
    why = replay.why_not(project, result) if result.folder.is_dir() else GONE
    if why is None:
        with compared[0].reading(str(result.folder)):
            again = replay.replay(project, result)
            if again is None:
                why = replay.COMPUTES
            else:
                _compare(result, again, found.prompts, *compared)
    if why is not None:
        for check in compared:
            check.skip(str(result.folder), why)
    return found


def _compare(result: Result, found: Replay, prompts: Check, first: Check, figures: Check | None = None) -> None:
    folder = result.folder
    if found.explanations is not None:
        stored, _ = explanations_table.read(folder)
        _sent(result, found, stored, prompts)
        _rows(result, stored, found.explanations, ["latent"], first)
    if found.scored is not None and figures is not None:
        stored = scores_table.read_verdicts(folder)
        _sent(result, found, stored, prompts)
        rounding, figures_rounding = (MODEL_ROUNDING, RANK_ROUNDING) if found.computed else (ROUNDING, ROUNDING)
        _rows(result, stored, found.scored.verdicts, ["explanation", "latent", "window"], first, rounding)
        if found.unanswered:
            figures.skip(str(folder), OTHER_PROMPT)
            return
        again, measures = found.scored.scores, found.scored.measures
        if reason := trusted.void(found.scored.facts):
            again, measures = trusted.voided(again, "score", reason), trusted.voided(measures, "value", reason)
        scores, _ = scores_table.read(folder)
        _rows(result, scores, again, ["explanation", "latent"], figures, figures_rounding)
        keys = ["explanation", "latent", "metric", "subset"]
        _rows(result, scores_table.read_measures(folder), measures, keys, figures, figures_rounding)


def _sent(result: Result, found: Replay, stored: pa.Table, check: Check) -> None:
    """Compares what is asked with what the transcript says was."""
    answers = found.answers
    left = found.asked.copy()
    unused = []
    for row, key in enumerate(answers.keys):
        if left[key] > 0:
            left[key] -= 1
            check.passed()
        else:
            unused.append(row)
    owners = defaultdict(list)
    for key, latent in zip(stored["request"].to_pylist(), stored["latent"].to_pylist(), strict=True):
        owners[key].append(latent)
    for due, row in zip(found.unanswered, unused, strict=False):
        call = answers.at(row)
        latents = ", ".join(f"latent {latent}" for latent in sorted(set(owners[call.key]))) or f"row {row}"
        check.fail(f"{result.folder}, {latents}", bodies.difference(due, call.request))
    for due in found.unanswered[len(unused) :]:
        check.fail(f"{answers.path}", f"has no answer to the request that ends {shown(due.decode()[-40:])}")
    for row in unused[len(found.unanswered) :]:
        check.fail(f"{answers.path}, row {row}", "is an answer to what nothing asks")


def _rows(
    result: Result, stored: pa.Table, found: pa.Table, keys: Sequence[str], check: Check, rounding: float = ROUNDING
) -> None:
    """Compares row by row; those whose question has no answer are left out."""
    without: Counter[str] = Counter()
    failed = 0
    unanswered = {tuple(row[key] for key in keys) for row in _unanswered(found, keys)}
    for row, said in tables.differences(stored, found, keys, rounding):
        if tuple(row.values()) in unanswered:
            without[OTHER_PROMPT] += 1
            check.skip(_item(result, row), OTHER_PROMPT)
        else:
            failed += 1
            check.fail(_item(result, row), said)
    check.passed(len(stored) - failed - without.total())


def _unanswered(found: pa.Table, keys: Sequence[str]) -> list[dict]:
    import pyarrow.compute as pc

    return found.filter(pc.fill_null(pc.equal(found["reason"], UNANSWERED), fill_value=False)).select(keys).to_pylist()


def _item(result: Result, row: dict) -> str:
    words = [f"{key} {value}" for key, value in row.items() if key != "explanation"]
    if row.get("explanation") not in (None, scores_table.OWN):
        words.append(f"explanation {row['explanation']}")
    return ", ".join([str(result.folder), *words])
