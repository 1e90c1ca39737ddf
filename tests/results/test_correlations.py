from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from stages.results import measures
from stages.results.correlations import LEAST, correlations, spearman
from stages.results.reading import Results, Score, Scores


def scores(values: dict[int, float | None]) -> Scores:
    own = {
        latent: Score(value, value, value, 9, 0, None if value is not None else "why")
        for latent, value in values.items()
    }
    return Scores({"metric": "auroc"}, own, {})


def scored(found: Results, **by_scorer: dict[int, float | None]) -> Results:
    """``found`` with the coder ``one`` alone, and these scores of its explanations by ``llm``."""
    one = replace(found.coders["one"], scores={"llm": {name: scores(values) for name, values in by_scorer.items()}})
    return replace(found, coders={"one": one}, explainers=["llm"])


def test_correlations_are_over_the_latents_that_both_have_scored(found: Results) -> None:
    generator = np.random.default_rng(0)
    a = dict(enumerate(generator.normal(size=40).tolist()))
    b: dict[int, float | None] = {latent: value + generator.normal() for latent, value in a.items() if latent >= 10}
    b |= {10: None, 77: 0.5}
    (record,) = (one for one in correlations(scored(found, a=a, b=b)) if {one["a"], one["b"]} == {"a", "b"})
    both = [(a[latent], value) for latent, value in b.items() if latent in a and value is not None]
    assert record["latents"] == len(both) == 29
    assert record["spearman"] == pytest.approx(spearmanr(both).statistic)
    assert record["low"] < record["spearman"] < record["high"]


def test_the_interval_is_that_of_many_samples() -> None:
    """Of pairs with a known correlation, the interval holds that correlation about 95 times in 100."""
    generator = np.random.default_rng(0)
    true = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's, of normal pairs whose Pearson correlation is 0.6
    held = 0
    for _ in range(400):
        x = generator.normal(size=60)
        found = spearman(np.stack([x, 0.6 * x + 0.8 * generator.normal(size=60)], axis=1))
        assert found["low"] is not None
        assert found["high"] is not None
        held += found["low"] < true < found["high"]
    assert 0.92 < held / 400 < 0.98


def test_ties_are_shared() -> None:
    pairs = np.array([[value // 3, value % 4] for value in range(24)], float)
    assert spearman(pairs)["spearman"] == pytest.approx(spearmanr(pairs).statistic)


def test_what_says_nothing_is_null() -> None:
    nothing = {"spearman": None, "low": None, "high": None}
    assert spearman(np.ones((30, 2))) == nothing
    assert spearman(np.arange(2 * LEAST - 2).reshape(-1, 2)) == nothing
    same = spearman(np.repeat(np.arange(LEAST), 2).reshape(-1, 2))
    assert same == {"spearman": pytest.approx(1), "low": pytest.approx(1), "high": pytest.approx(1)}


@pytest.mark.parametrize(
    "facts", [{"coder": {"format": "random"}}, {"coder": {"format": "neurons"}}, {"subject": {"weights": "random"}}]
)
def test_controls_are_left_out(found: Results, facts: dict) -> None:
    assert correlations(found)
    coders = {name: replace(coder, meta={**coder.meta, **facts}) for name, coder in found.coders.items()}
    assert correlations(replace(found, coders=coders)) == []


def test_the_matrix_is_symmetric_and_holds_scorers_of_latents(found: Results) -> None:
    (table, _) = measures.agreement(found)
    assert table["scorers"] == ["detection", "embedding", "intruder"]
    matrix = table["matrix"]
    assert all(matrix[i][j] is matrix[j][i] for i in range(3) for j in range(3))
    assert [matrix[i][i] for i in range(3)] == [None] * 3
    assert matrix[0][2]["latents"] == 2
