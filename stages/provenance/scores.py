"""Whether every figure follows from the verdicts below it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages import paths, scorers
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.outputs import dumps
from stages.provenance import tables
from stages.provenance.check import Check
from stages.provenance.files import GONE
from stages.provenance.project import Project, Result
from stages.results import metrics, reading
from stages.scorers import Context, Item, Judged, trusted
from stages.scorers import table as scores_table
from stages.scorers.overall import Overall
from stages.scorers.run import Part
from stages.scorers.summary import Summary

KEYS = ["explanation", "latent", "metric", "subset"]


def checks(project: Project) -> Iterator[Check]:
    """Yields the checks of scores, of their means and of what the report says of them."""
    scores = Check("scores", "every score, interval and measure, and the verdicts")
    means = Check("means", "every mean over latents, and the measures")
    for result in project.scored:
        if not result.folder.is_dir():
            scores.skip(str(result.folder), GONE)
            means.skip(str(result.folder), GONE)
            continue
        with scores.reading(str(result.folder)):
            stored, meta = scores_table.read(result.folder)
            measures, verdicts = scores_table.read_measures(result.folder), scores_table.read_verdicts(result.folder)
            _headline(result, stored, measures, meta["metric"], scores)
            _from_verdicts(project, result, stored, measures, verdicts, trusted.void(meta), scores)
            _means(project, result, stored, measures, verdicts, meta, means)
    yield scores
    yield means
    yield _metrics(project)


def _headline(result: Result, scores: pa.Table, measures: pa.Table, metric: str, check: Check) -> None:
    """The score of a latent is one of its measures."""
    chosen = measures.filter(
        pc.and_(pc.equal(measures["metric"], metric), pc.equal(measures["subset"], scores_table.ALL))
    )
    columns = ("explanation", "latent", "value")
    values = {(e, latent): value for e, latent, value in zip(*(chosen[c].to_pylist() for c in columns), strict=True)}
    columns = ("explanation", "latent", "score")
    for explanation, latent, score in zip(*(scores[c].to_pylist() for c in columns), strict=True):
        due = values.get((explanation, latent))
        item = f"{result.folder}, {explanation} explanation of latent {latent}"
        check.expect(score == due, item, f"score is {score}, but the measure {metric} is {due}")


def anew(project: Project, result: Result, verdicts: pa.Table) -> Summary:
    """Returns what the scorer makes of stored verdicts.

    Raises:
        GlossaError: they are of a latent or a window that the sample does not have, or what they are of is missing or damaged.
    """
    assert result.scorer is not None
    scorer = scorers.load(result.scorer, project.p.scorers[result.scorer])
    examples = Examples.open(paths.examples(result.coder))
    ordered = verdicts.sort_by([("explanation", "ascending"), ("latent", "ascending")])
    of_item = dict(scores_table.by_item(ordered))
    owners = {latent for _, latent in of_item}
    if strange := owners - set(examples.kept):
        raise GlossaError(
            f"the verdicts in {result.folder} should be on latents of {examples.directory}, but {min(strange)} is none"
        )
    judged = [
        Judged(Item(latent, "", control), of_item[control, latent.latent])
        for latent in examples.of(sorted(owners))
        for control, owner in of_item
        if owner == latent.latent
    ]
    return scorer.summarise(judged, Context(project.tokens.vocabulary, project.p.seed, result.coder))


def _from_verdicts(
    project: Project,
    result: Result,
    scores: pa.Table,
    measures: pa.Table,
    verdicts: pa.Table,
    void: str | None,
    check: Check,
) -> None:
    found = anew(project, result, verdicts)
    if void:
        found = Summary(trusted.voided(found.scores, "score", void), trusted.voided(found.measures, "value", void))
    judged = set(zip(*(verdicts[name].to_pylist() for name in KEYS[:2]), strict=True))
    for row in scores.filter(scores["score"].is_valid()).select(KEYS[:2]).to_pylist():
        if tuple(row.values()) not in judged:
            check.fail(
                f"{result.folder}, explanation {row['explanation']}, latent {row['latent']}",
                "has a score, but no verdict",
            )
    for stored, due, keys in ((scores, found.scores, KEYS[:2]), (measures, found.measures, KEYS)):
        known = set(zip(*(due[name].to_pylist() for name in keys), strict=True))
        owners = zip(*(stored[name].to_pylist() for name in keys), strict=True)
        # Others were shown nothing, or are what the scorer measured beside its verdicts.
        follows = stored.filter(pa.array([owner in known for owner in owners], pa.bool_()))
        differing = list(tables.differences(follows, due, keys))
        check.passed(len(follows) - len(differing))
        for row, said in differing:
            words = ", ".join(f"{key} {value}" for key, value in row.items())
            check.fail(f"{result.folder}, {words}", said)


def _means(
    project: Project,
    result: Result,
    scores: pa.Table,
    measures: pa.Table,
    verdicts: pa.Table,
    meta: dict[str, Any],
    check: Check,
) -> None:
    for explanation, stored in meta["overall"].items():
        again = Overall()
        again.add(*Part(verdicts, scores, measures).of(explanation))
        due = {"overall": again.means(project.p.seed), "unscored": again.unscored()}
        for name, was, now in (
            ("overall", stored, due["overall"]),
            ("unscored", meta["unscored"][explanation], due["unscored"]),
        ):
            place = _differing(was, json.loads(dumps(now)))
            item = f"{result.folder}/meta.json, {name}.{explanation}{place}"
            check.expect(place is None, item, "is not what the tables come to")


def _metrics(project: Project) -> Check:
    measures = paths.PLOTS / "measures.json"
    check = Check("metrics", f"{paths.METRICS}, {measures}, and the outputs that they sum up")
    examples = map(paths.examples, project.p.coders)
    results_of = (result.folder for result in (*project.explained, *project.scored))
    for path in (paths.METRICS, measures, paths.TOKENS, paths.SIMILARITY, *examples, *results_of):
        if not path.exists():
            check.skip(str(path), GONE)
    if check.unknown:
        return check
    with check.reading(str(measures)):
        found = reading.read(project.p)
        stored = {f"{measures}, {section}": part for section, part in _json(measures).items()}
        stored |= {str(file): _json(file) for file in sorted(paths.METRICS.glob("*.json"))}
        due = {f"{measures}, {section}": part for section, part in metrics.measures(found).items()}
        due |= {f"{paths.METRICS / coder}.json": part for coder, part in metrics.of_coders(found).items()}
        due = json.loads(dumps(due))
        for item in {**stored, **due}:
            place = _differing(stored.get(item), due.get(item))
            check.expect(place is None, f"{item}{place}", "is not what the outputs come to")
    return check


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _differing(was: Any, now: Any) -> str | None:
    """The place of the first value that differs, such as ``.auroc.all.value``; None if none does."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**was, **now}:
            place = _differing(was.get(key), now.get(key))
            if place is not None:
                return f".{key}{place}"
        return None
    if isinstance(was, float) and isinstance(now, float):
        return None if abs(was - now) <= tables.ROUNDING * max(1, abs(was)) else ""
    return None if was == now else ""
