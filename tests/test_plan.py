from __future__ import annotations

from stages import params, plan


def test_kinds_of_negatives_are_those_that_any_role_asks_for_in_the_order_of_the_registry() -> None:
    values = {
        "latents": "all",
        "train": {"negatives": {"surface": 2, "random": 0}},
        "validation": {"n": 1, "negatives": {"neighbour": 3}},
        "test": {"negatives": {"surface": 1, "semantic": 0, "random": 0}},
    }
    sampling = params.Sampling.model_validate(values)
    assert plan.kinds_of_negatives(sampling) == ["neighbour", "surface"]
    assert plan.negatives(sampling, "surface") == (1, 0, 2)
    assert plan.negatives(sampling, "neighbour") == (0, 3, 0)
    assert plan.negatives(sampling, "random") == (0, 0, 0)
