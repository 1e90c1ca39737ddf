from __future__ import annotations

import numpy as np
import pytest

from stages import params
from stages.errors import GlossaError
from stages.examples.choose import choose


def chosen(n_latents: int = 10, seed: int = 0, coder: str = "one", **values: object) -> list[int]:
    return choose(params.Choice.model_validate(values), n_latents, seed, coder).tolist()


def test_all_the_first_and_a_list() -> None:
    assert chosen(how="all") == list(range(10))
    assert chosen(how="first", n=3) == [0, 1, 2]
    assert chosen(how="first", n=30) == list(range(10))
    assert chosen(how="list", latents=(7, 0, 7, 9)) == [0, 7, 9]


def test_random_ones_depend_on_seed_and_coder() -> None:
    found = chosen(1000, how="random", n=50)
    assert len(set(found)) == 50
    assert found == sorted(found) == chosen(1000, how="random", n=50)
    assert set(found) <= set(range(1000))
    assert found != chosen(1000, seed=1, how="random", n=50)
    assert found != chosen(1000, coder="two", how="random", n=50)
    assert chosen(how="random", n=11) == list(range(10))


def test_a_larger_random_sample_holds_the_smaller_one() -> None:
    assert set(chosen(1000, how="random", n=20)) < set(chosen(1000, how="random", n=21))


def test_a_latent_that_the_coder_does_not_have_is_a_mistake() -> None:
    expected = "params.yaml: sampling.latents lists 10, but the coder one has latents 0 to 9; drop it"
    with pytest.raises(GlossaError, match=expected):
        chosen(how="list", latents=(3, 10))
    assert np.array_equal(chosen(how="list", latents=(9,)), [9])
