import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from stages.examples.prompts import Prompt, cut, spread
from stages.examples.table import Windows


def windows(activations: np.ndarray, deciles: list[int] | None = None) -> Windows:
    n, length = activations.shape
    tokens = np.arange(n * length, dtype=np.int32).reshape(n, length)
    found = np.array(deciles if deciles is not None else [1] * n, np.int8)
    return Windows(np.arange(n) * length, found, tokens, activations.astype(np.float32), [None] * n)


def test_a_prompt_ends_with_the_first_token_that_fires() -> None:
    fires = np.array([[0, 0, 2, 0, 5], [0, 1, 0, 0, 0], [3, 0, 0, 9, 0], [0, 0, 0, 0, 0], [0, 0, 0, -1, 4]])
    found = cut(windows(fires, [1, 4, 7, 9, 10]))
    assert found == [Prompt(0, 1, [0, 1, 2]), Prompt(5, 4, [5, 6]), Prompt(20, 10, [20, 21, 22, 23])]


def test_a_long_prompt_keeps_its_end() -> None:
    fires = np.array([[0, 0, 0, 0, 5], [0, 1, 0, 0, 0]])
    assert [prompt.tokens for prompt in cut(windows(fires), 3)] == [[2, 3, 4], [5, 6]]


@given(nps.arrays(np.int8, nps.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-1, 1)))
def test_no_prompt_holds_an_earlier_firing(activations: np.ndarray) -> None:
    own = windows(activations)
    found = cut(own)
    length = activations.shape[1]
    for prompt in found:
        values = activations[prompt.start // length, : len(prompt.tokens)]
        assert len(values) >= 2
        assert values[-1] != 0
        assert not values[:-1].any()
    fits = [row.any() and row[0] == 0 for row in activations]
    assert len(found) == sum(fits)


@given(st.lists(st.integers(1, 10), max_size=40), st.integers(1, 4))
def test_prompts_are_spread_over_the_strengths(deciles: list[int], per_quintile: int) -> None:
    prompts = [Prompt(start, decile, [1, 2]) for start, decile in enumerate(deciles)]
    chosen = spread(prompts, per_quintile, np.random.default_rng(0))
    assert len({prompt.start for prompt in chosen}) == len(chosen)
    for quintile in range(5):
        two = (2 * quintile + 1, 2 * quintile + 2)
        there, taken = ([p for p in part if p.decile in two] for part in (prompts, chosen))
        assert len(taken) == min(per_quintile, len(there))
