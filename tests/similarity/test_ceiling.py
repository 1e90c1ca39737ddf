from pathlib import Path

import numpy as np
import pytest

from stages.examples.table import Examples
from stages.similarity import ceiling


def test_halves_share_no_window_and_lose_none(at_finished: Path) -> None:
    examples = Examples.open(at_finished / "data/examples/one")
    for latent in examples:
        first, second = ceiling.halves(latent)
        assert (first.latent, first.facts) == (second.latent, second.facts) == (latent.latent, latent.facts)
        together = np.sort(np.concatenate([first.train.starts, second.train.starts]))
        np.testing.assert_array_equal(together, np.sort(latent.train.starts))
        assert abs(len(first.train) - len(second.train)) <= 1
        assert len(first.train.tokens) == len(first.train.deciles) == len(first.train.kinds) == len(first.train)
        strengths = [half.train.deciles.mean() for half in (first, second) if len(half.train)]
        assert max(strengths) - min(strengths) <= 10 / max(1, len(second.train))
        np.testing.assert_array_equal(first.test.starts, latent.test.starts)  # no explainer looks at them


def test_the_latents_are_drawn_and_do_not_depend_on_their_order() -> None:
    found = ceiling.choose([9, 3, 7, 1], 2, np.random.default_rng(0))
    assert len(found) == 2
    assert found == sorted(found) == ceiling.choose([1, 3, 7, 9], 2, np.random.default_rng(0))
    assert ceiling.choose([4, 2], 5, np.random.default_rng(0)) == [2, 4]


def test_the_figure_by_hand() -> None:
    vectors = {"x": np.array([1.0, 0]), "y": np.array([0.6, 0.8])}
    found = ceiling.figure_of([("x", "y"), ("x", "x")], vectors, np.random.default_rng(0))
    assert found == {"value": pytest.approx(0.8), "low": pytest.approx(0.6), "high": pytest.approx(1), "n": 2}
    assert ceiling.figure_of([], {}, np.random.default_rng(0)) == {"n": 0, "reason": "there is no value"}
