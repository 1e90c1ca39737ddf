import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from stages.corpus.tokens import Tokens
from stages.examples.table import Examples
from stages.latents.store import LatentStore
from stages.similarity import firing
from stages.similarity.firing import Firing


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_facts_are_those_of_the_sample(at_finished) -> None:
    tokens, examples = Tokens.open(), Examples.open(at_finished / "data/examples/one")
    found = firing.read(examples, tokens)
    store = LatentStore.open(at_finished / "data/latents/one.zarr")
    kept = {latent.latent: latent for latent in examples}
    assert len(kept) > 5
    ordinary = tokens.matrix.size - tokens.meta["special_positions"]
    for latent in range(store.shape[0]):
        if latent not in kept:
            assert np.isnan([found.density[latent], found.frequency[latent]]).all()
            continue
        assert found.density[latent] == pytest.approx(np.log10(store.statistic("count")[latent] / ordinary))
        train = kept[latent].train
        strongest = train.tokens[np.arange(len(train)), train.activations.argmax(axis=1)]
        expected = np.log10(tokens.vocabulary.counts[strongest]).mean()
        assert found.frequency[latent] == pytest.approx(expected)
    assert np.isnan(firing.read(examples, None).frequency).all()


def test_classes_hold_equally_many_of_both_together() -> None:
    a, b = np.array([0.0, 1, 2, np.nan, 4]), np.array([5.0, 6, 7, 8, 9, 3])
    of_a, of_b = firing.classes(a, b)
    assert of_a.tolist() == [0, 0, 1, -1, 2]
    assert of_b.tolist() == [2, 3, 3, 4, 4, 1]
    assert [side.tolist() for side in firing.classes(np.array([np.nan]), np.array([]))] == [[-1], []]


def test_how_far_densities_lie_apart() -> None:
    x = np.random.default_rng(1).normal(-3, 0.5, 100)
    nothing = np.full(100, np.nan)
    one, other = Firing(x, nothing), Firing(np.append(x[:80] + 1, np.nan), nothing)
    found = firing.distance(one, other, generator())
    assert found.value == pytest.approx(wasserstein_distance(x, x[:80] + 1))
    assert found.low < found.value < found.high
    assert found.n == 180
    assert firing.distance(one, one, generator()).value == 0
    assert firing.distance(one, Firing(nothing, nothing), generator()).reason.startswith("no latent of one")


def test_the_correlation_of_densities_is_numpys() -> None:
    draw = np.random.default_rng(1)
    x = draw.normal(size=50)
    y = x + draw.normal(size=50)
    y[3] = np.nan
    known = ~np.isnan(y)
    found = firing.correlation(x, y, generator())
    assert found.value == pytest.approx(np.corrcoef(x[known], y[known])[0, 1])
    assert found.low < found.value < found.high
    assert found.n == 49
    # the normal approximation of its error, (1 - r²) / sqrt(n)
    assert found.high - found.low == pytest.approx(2 * 1.96 * (1 - found.value**2) / 7, rel=0.35)


@pytest.mark.parametrize("y", [[1.0, 2.0, np.nan], [1.0, 1.0, 1.0]])
def test_too_few_or_equal_densities_have_no_correlation(y: list[float]) -> None:
    found = firing.correlation(np.array([1.0, 2.0, 3.0]), np.array(y), generator())
    assert found.value is None
    assert found.reason.startswith("fewer than three matched pairs")
