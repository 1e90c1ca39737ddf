from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stages.bootstrap import Figure
from stages.scorers import Item, Judged, metrics, summary
from stages.scorers.overall import Overall
from stages.scorers.table import OWN, SHUFFLED, by_item, measures_schema, scores_schema, verdicts_schema
from tests.scorers import planted

YES, NO, NONE = True, False, None


def verdicts(
    latent: int, active: list[Any], negatives: dict[str, list[Any]], control: str = OWN, rank: bool = False
) -> pa.Table:
    """Active examples are of deciles 1, 2 …; what is said of each is a verdict or, with ``rank``, a value."""
    examples = [(None, decile, True, said) for decile, said in enumerate(active, 1)]
    examples += [(kind, 0, False, said) for kind, found in negatives.items() for said in found]
    column = "value" if rank else "predicted"
    rows = [
        {
            "explanation": control,
            "latent": latent,
            "window": place,
            "kind": kind,
            "decile": decile,
            "active": is_active,
            column: said,
        }
        for place, (kind, decile, is_active, said) in enumerate(examples)
    ]
    return pa.Table.from_pylist([dict.fromkeys(verdicts_schema().names) | row for row in rows], verdicts_schema())


def judged(table: pa.Table, rates: dict[int, float | None]) -> list[Judged]:
    """The verdicts of a table, by latent and explanation; of the latents no more is known than ``rates``."""
    ordered = table.sort_by([("explanation", "ascending"), ("latent", "ascending")])
    return [
        Judged(Item(replace(planted.latent(latent, 1), rate=rates.get(latent)), "", control), part)
        for (control, latent), part in by_item(ordered)
    ]


def means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The means of measures that come in two parts."""
    found, measures = Overall(), summary.from_rows([], rows).measures
    for part in (measures.slice(0, 3), measures.slice(3)):
        found.add(verdicts_schema().empty_table(), scores_schema().empty_table(), part)
    return found.means(0)


def measured(found: summary.Summary, latent: int = 3, control: str = OWN) -> dict[tuple[str, str], dict[str, Any]]:
    rows = [row for row in found.measures.to_pylist() if (row["latent"], row["explanation"]) == (latent, control)]
    assert len({(row["metric"], row["subset"]) for row in rows}) == len(rows)
    return {(row["metric"], row["subset"]): row for row in rows}


def test_verdicts_come_to_a_headline_and_measures_by_kind_and_decile() -> None:
    table = verdicts(3, [YES, YES, NO, NONE], {"random": [NO, NO, NO, YES], "surface": [YES, NONE]})
    found = summary.classified(judged(table, {3: 0.5}), 0)
    (score,) = found.scores.to_pylist()
    assert score["score"] == pytest.approx((2 / 3 + 3 / 5) / 2)
    assert score["low"] < score["score"] < score["high"]
    assert (score["n"], score["unscored"], score["reason"]) == (8, 2, None)
    of = measured(found)
    assert {of_what for _, of_what in of} == {
        "all",
        "negatives random",
        "negatives surface",
        "decile 1",
        "decile 2",
        "decile 3",
    }
    assert of["balanced_accuracy", "all"]["value"] == score["score"]
    assert (of["specificity", "negatives random"]["value"], of["specificity", "negatives random"]["n"]) == (0.75, 4)
    assert of["specificity", "negatives surface"]["value"] == 0
    assert of["balanced_accuracy", "negatives surface"]["value"] == pytest.approx(1 / 3)
    assert [of["sensitivity", f"decile {d}"]["value"] for d in (1, 2, 3)] == [1, 1, 0]
    assert of["natural_f1", "all"]["value"] == pytest.approx(2 * (2 / 3) / (2 / 3 + 1 / 4 + 1))
    assert ("auroc", "all") not in of  # no verdict has a probability
    assert of["specificity", "negatives random"]["low"] is None
    assert found.scores.schema == scores_schema()
    assert found.measures.schema == measures_schema()


def test_values_come_to_a_ranking() -> None:
    table = verdicts(3, [0.9, 0.4, NONE], {"random": [0.5, 0.1], "semantic": [0.8]}, rank=True)
    found = summary.ranked(judged(table, {3: 0.1}), 0)
    (score,) = found.scores.to_pylist()
    assert score["score"] == pytest.approx(4 / 6)
    assert (score["n"], score["unscored"]) == (5, 1)
    of = measured(found)
    assert of["auroc", "negatives random"]["value"] == 0.75
    assert of["auroc", "negatives semantic"]["value"] == 0.5
    assert of["auroc", "decile 1"]["value"] == 1
    assert of["auroc", "decile 2"]["value"] == pytest.approx(1 / 3)
    assert {metric for metric, of_what in of if of_what == "all"} == {"auroc", "auprc", "natural_auprc"}


def test_probabilities_of_verdicts_are_ranked_too() -> None:
    table = verdicts(3, [YES, YES], {"random": [NO, YES]})
    values = pa.array([0.9, 0.6, 0.2, None], pa.float64())
    table = table.set_column(table.schema.get_field_index("value"), "value", values)
    of = measured(summary.classified(judged(table, {3: 0.1}), 0))
    assert (of["auroc", "all"]["value"], of["auroc", "all"]["n"]) == (1, 3)
    assert of["balanced_accuracy", "all"]["n"] == 4


def test_a_value_that_is_no_number_is_no_verdict() -> None:
    (score,) = summary.ranked(
        judged(verdicts(3, [0.9, float("nan")], {"random": [0.1]}, rank=True), {3: 0.1}), 0
    ).scores.to_pylist()
    assert (score["score"], score["n"], score["unscored"]) == (1, 2, 1)


def test_what_is_undefined_is_null_with_its_reason() -> None:
    (score,) = summary.classified(judged(verdicts(3, [NONE, NONE], {"random": [NO]}), {3: 0.1}), 0).scores.to_pylist()
    assert (score["score"], score["n"], score["unscored"], score["reason"]) == (None, 1, 2, metrics.NO_ACTIVE)
    of = measured(summary.classified(judged(verdicts(3, [YES], {"neighbour": [NO]}), {3: None}), 0))
    assert of["natural_f1", "all"]["reason"] == metrics.NO_RANDOM
    assert of["natural_f1", "all"]["value"] is None
    (score,) = summary.ranked(judged(verdicts(3, [0.5], {}, rank=True), {}), 0).scores.to_pylist()
    assert score["reason"] == "no non-activating example has a value"


def test_rows_may_come_in_any_order_and_from_several_latents() -> None:
    parts = [
        verdicts(latent, [YES, NO, YES], {"random": [NO, latent == 5, NO]}, control)
        for latent in (3, 5)
        for control in (OWN, SHUFFLED)
    ]
    whole = pa.concat_tables(parts)
    moved = whole.take(np.random.default_rng(0).permutation(len(whole)))
    rates = {3: 0.1, 5: 0.2}
    first, second = (summary.classified(judged(table, rates), 0) for table in (whole, moved))
    assert first.scores == second.scores
    assert first.measures == second.measures
    assert first.scores["explanation"].to_pylist() == [OWN, OWN, SHUFFLED, SHUFFLED]
    alone = summary.classified(judged(parts[2], rates), 0)
    assert alone.scores.to_pylist()[0] in first.scores.to_pylist()


def test_rows_of_a_formula_of_ones_own() -> None:
    figure = Figure(0.3, 0.2, 0.4)
    found = summary.from_rows(
        [summary.score_row(OWN, 7, figure, 10, 1), summary.score_row(OWN, 3, Figure(None, reason="flat"), 0, 11)],
        [summary.measure_row(OWN, 7, "pearson", "all", figure, 10)],
    )
    assert found.scores["latent"].to_pylist() == [3, 7]
    assert found.scores["reason"].to_pylist() == ["flat", None]
    assert found.measures.to_pylist() == [
        {
            "explanation": OWN,
            "latent": 7,
            "metric": "pearson",
            "subset": "all",
            "value": 0.3,
            "low": 0.2,
            "high": 0.4,
            "n": 10,
            "reason": None,
        }
    ]


def test_means_over_latents_leave_out_the_undefined() -> None:
    rows = [
        summary.measure_row(OWN, latent, "auroc", of, Figure(value, reason=None if value else "?"), 1)
        for latent, of, value in (
            (1, "all", 0.5),
            (2, "all", 0.7),
            (1, "decile 1", 0.9),
            (2, "decile 1", None),
            (2, "decile 2", None),
        )
    ]
    found = means(rows)["auroc"]
    assert found["all"]["value"] == pytest.approx(0.6)
    assert (found["all"]["low"], found["all"]["high"], found["all"]["n_latents"]) == (0.5, 0.7, 2)
    assert found["decile 1"] == {"value": 0.9, "low": 0.9, "high": 0.9, "n_latents": 1}
    assert found["decile 2"] == {
        "value": None,
        "low": None,
        "high": None,
        "n_latents": 0,
        "reason": "it is defined for no latent",
    }
    assert Overall().means(0) == {}


def test_the_interval_over_latents_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(0.7, 0.1, 400)
    rows = [summary.measure_row(OWN, latent, "auroc", "all", Figure(value), 1) for latent, value in enumerate(values)]
    found = means(rows)["auroc"]["all"]
    assert found["value"] == pytest.approx(values.mean())
    assert found["low"] == pytest.approx(values.mean() - 1.96 * 0.1 / 20, abs=0.002)
    assert found["high"] == pytest.approx(values.mean() + 1.96 * 0.1 / 20, abs=0.002)


def test_what_has_no_score_is_counted_by_reason() -> None:
    table = verdicts(3, [NONE, YES], {"random": [NONE, NO]})
    reasons = pa.array(["no answer", None, "no answer", None])
    table = table.set_column(table.schema.get_field_index("reason"), "reason", reasons)
    none = verdicts(4, [YES], {})
    scores = summary.classified(judged(pa.concat_tables([table, none]), {}), 0).scores
    found = Overall()
    for rows, number in ((table, 3), (none, 4)):
        found.add(rows, scores.filter(pc.equal(scores["latent"], number)), measures_schema().empty_table())
    assert found.unscored() == {
        "latents": 1,
        "latents_by_reason": {metrics.NO_OTHER: 1},
        "examples": 2,
        "examples_by_reason": {"no answer": 2},
    }
    assert pc.sum(scores["unscored"]).as_py() == 2
