from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stages.results import differences as module
from stages.results.differences import FLOOR, differences
from stages.results.metrics import measures
from stages.results.reading import Results, Score, Scores
from stages.scorers.metrics import AUROC


def scores(own: dict[int, float | None], floor: dict[int, float | None] | None = None) -> Scores:
    def made(values: dict[int, float | None]) -> dict[int, Score]:
        return {
            latent: Score(value, value, value, 9, 0, None if value is not None else "why")
            for latent, value in values.items()
        }

    meta = {**AUROC.facts(), "overall": {"own": {}, "shuffled": {}}, "unscored": {"own": {"latents": 0, "examples": 0}}}
    return Scores(meta, made(own), made(floor or {}))


def scored(found: Results, **by_explainer: Scores) -> Results:
    """``found`` with the coder ``one`` alone, whose explanations by these have these scores."""
    one = replace(found.coders["one"], scores={name: {"embedding": one} for name, one in by_explainer.items()})
    return replace(found, coders={"one": one}, explainers=list(by_explainer), scorers=["embedding"])


def records(found: Results) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["a"], one["b"]): one for one in differences(found)}


def test_they_are_paired_by_latent(found: Results) -> None:
    a = scores({1: 0.9, 2: 0.6, 3: 0.5, 4: None, 5: 1.0}, {1: 0.5, 2: 0.5, 3: 0.5})
    b = scores({1: 0.7, 2: 0.6, 3: 0.6, 4: 0.5, 6: 0.0})
    there = records(scored(found, a=a, b=b))
    assert set(there) == {("a", FLOOR), ("a", "b")}
    assert there["a", "b"]["difference"] == pytest.approx((0.2 + 0 - 0.1) / 3)
    assert there["a", "b"]["wins"] == pytest.approx(0.5)
    assert there["a", "b"]["latents"] == 3
    assert there["a", FLOOR]["difference"] == pytest.approx((0.4 + 0.1 + 0) / 3)
    assert there["a", FLOOR]["wins"] == pytest.approx(2.5 / 3)


def test_the_interval_is_that_of_many_samples(found: Results) -> None:
    generator, held = np.random.default_rng(0), 0
    for _ in range(200):
        gains = generator.normal(0.1, 0.3, 60)
        record = module._record(
            "x", "a", "b", {("c", n): g for n, g in enumerate(gains)}, {("c", n): 0.0 for n in range(60)}
        )
        held += record[0]["low"] < 0.1 < record[0]["high"]
    assert 0.90 < held / 200 < 0.985


def test_latents_of_all_coders_count_but_not_those_of_controls(found: Results) -> None:
    pair = scored(found, a=scores({1: 0.9}), b=scores({1: 0.5}))
    one = pair.coders["one"]
    other = replace(
        one, name="other", scores={"a": {"embedding": scores({1: 0.5})}, "b": {"embedding": scores({1: 0.7})}}
    )
    random = replace(other, name="random", meta={**one.meta, "coder": {"format": "random"}})
    untrained = replace(
        other, name="untrained", meta={**one.meta, "subject": {**one.meta["subject"], "weights": "random"}}
    )
    several = replace(pair, coders={c.name: c for c in (one, other, random, untrained)})
    (record,) = differences(several)
    assert record["latents"] == 2
    assert record["difference"] == pytest.approx(0.1)


def test_nothing_in_common_is_no_record(found: Results) -> None:
    assert differences(scored(found, a=scores({1: 0.9}), b=scores({2: 0.5}))) == []


def test_measures_have_them(found: Results) -> None:
    a, b = scores({1: 0.9, 2: 0.7}), scores({1: 0.5, 2: 0.7})
    kept = measures(scored(found, pattern=a, llm=b))["differences"]["embedding"]["pattern"]["llm"]
    assert (kept["difference"], kept["wins"], kept["latents"]) == (0.2, 0.75, 2)
