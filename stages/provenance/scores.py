"""Whether every figure follows from the verdicts below it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages import paths
from stages.examples.table import Examples
from stages.outputs import dumps
from stages.provenance import tables
from stages.provenance.check import Check
from stages.provenance.files import GONE
from stages.provenance.project import Project, Result
from stages.publish import results
from stages.publish.metrics import metrics
from stages.scorers import intervention, overall, sensitivity, summary
from stages.scorers import table as scores_table

OWN_FORMULA = "its scorer has a formula of its own, see figures"
MAKERS = {"balanced_accuracy": summary.classified, "auroc": summary.ranked}
"""By the metric that is the score, what makes scores and measures of verdicts."""


def _drop(verdicts: pa.Table) -> float | None:
    """By how much the explanation surprises less behind intervened texts than behind clean ones."""
    means = {}
    for version in intervention.VERSIONS[:2]:
        means[version] = pc.mean(verdicts.filter(pc.equal(verdicts["kind"], version))["value"]).as_py()
    clean, intervened = means.values()
    return None if clean is None or intervened is None else clean - intervened


def _fired(verdicts: pa.Table) -> float | None:
    """The share of written texts in which the latent fires."""
    return pc.mean(verdicts["active"].cast(pa.float64())).as_py()


VALUES = {intervention.METRIC: _drop, sensitivity.METRIC: _fired}
"""Where that needs more than verdicts, by the metric what makes the score of one explanation, without its interval."""

KEYS = ["explanation", "latent", "metric", "of"]


def checks(project: Project) -> Iterator[Check]:
    """Yields the checks of scores, of their means and of results/metrics.json."""
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
            _from_verdicts(project, result, stored, measures, verdicts, meta["metric"], scores)
            _means(project, result, stored, measures, verdicts, meta, means)
    yield scores
    yield means
    yield _metrics(project)


def _headline(result: Result, scores: pa.Table, measures: pa.Table, metric: str, check: Check) -> None:
    """The score of a latent is one of its measures."""
    chosen = measures.filter(pc.and_(pc.equal(measures["metric"], metric), pc.equal(measures["of"], summary.ALL)))
    columns = ("explanation", "latent", "value")
    values = {(e, latent): value for e, latent, value in zip(*(chosen[c].to_pylist() for c in columns), strict=True)}
    columns = ("explanation", "latent", "score")
    for explanation, latent, score in zip(*(scores[c].to_pylist() for c in columns), strict=True):
        due = values.get((explanation, latent))
        item = f"{result.folder}, {explanation} explanation of latent {latent}"
        check.expect(score == due, item, f"score is {score}, but the measure {metric} is {due}")


def _from_verdicts(
    project: Project,
    result: Result,
    scores: pa.Table,
    measures: pa.Table,
    verdicts: pa.Table,
    metric: str,
    check: Check,
) -> None:
    if metric in VALUES:
        _values(result, scores, verdicts, VALUES[metric], check)
        return
    if metric not in MAKERS or not len(verdicts):
        check.skip(str(result.folder), OWN_FORMULA)
        return
    examples = Examples.open(paths.examples(result.coder))
    windows = [n / examples.meta["windows"] for n in examples.latents["n_windows"].to_pylist()]
    rates = dict(zip(examples.latents["latent"].to_pylist(), windows, strict=True))
    found = MAKERS[metric](verdicts, rates, project.p.seed)
    judged = set(zip(found.scores["explanation"].to_pylist(), found.scores["latent"].to_pylist(), strict=True))
    owners = zip(scores["explanation"].to_pylist(), scores["latent"].to_pylist(), strict=True)
    scores = scores.filter(pa.array([owner in judged for owner in owners], pa.bool_()))  # others were shown nothing
    known = set(zip(*(found.measures[name].to_pylist() for name in KEYS), strict=True))
    owners = zip(*(measures[name].to_pylist() for name in KEYS), strict=True)
    measures = measures.filter(
        pa.array([owner in known for owner in owners], pa.bool_())
    )  # others are its scorer's own
    for stored, due, keys in ((scores, found.scores, KEYS[:2]), (measures, found.measures, KEYS)):
        differing = list(tables.differences(stored, due, keys))
        check.passed(len(stored) - len(differing))
        for row, said in differing:
            words = ", ".join(f"{key} {value}" for key, value in row.items())
            check.fail(f"{result.folder}, {words}", said)


def _values(
    result: Result, scores: pa.Table, verdicts: pa.Table, make: Callable[[pa.Table], float | None], check: Check
) -> None:
    of_item = dict(scores_table.by_item(verdicts))
    for row in scores.to_pylist():
        key = (row["explanation"], row["latent"])
        due, was = make(of_item[key]) if key in of_item else None, row["score"]
        item = f"{result.folder}, {key[0]} explanation of latent {key[1]}"
        check.expect(tables.same(was, due), item, f"score is {was}, but its verdicts come to {due}")


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
        due = overall.means(measures, explanation, project.p.seed)
        without = overall.unscored(scores, verdicts, explanation)
        for name, was, now in (("overall", stored, due), ("unscored", meta["unscored"][explanation], without)):
            place = _differing(was, json.loads(dumps(now)))
            item = f"{result.folder}/meta.json, {name}.{explanation}{place}"
            check.expect(place is None, item, "is not what the tables come to")


def _metrics(project: Project) -> Check:
    check = Check("metrics", f"{paths.METRICS}, and the outputs that it sums up")
    examples = map(paths.examples, project.p.coders)
    results_of = (result.folder for result in (*project.explained, *project.scored))
    for path in (paths.METRICS, paths.TOKENS, paths.SIMILARITY, *examples, *results_of):
        if not path.exists():
            check.skip(str(path), GONE)
    if check.unknown:
        return check
    with check.reading(str(paths.METRICS)):
        stored = json.loads(paths.METRICS.read_text(encoding="utf-8"))
        due = json.loads(dumps(metrics(results.read(project.p))))
        for section in {**stored, **due}:
            place = _differing(stored.get(section), due.get(section))
            check.expect(place is None, f"{paths.METRICS}, {section}{place}", "is not what the outputs come to")
    return check


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
