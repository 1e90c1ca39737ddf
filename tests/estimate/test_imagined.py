from __future__ import annotations

import numpy as np

from stages import params
from stages.estimate.imagined import Imagined, tokens
from stages.examples.table import latents_schema


def test_made_up_examples_are_as_many_as_params_ask_for() -> None:
    sampling = params.Sampling.model_validate(
        {
            "latents": {"random": 5},
            "window": 16,
            "train": {"n": 7, "negatives": {"surface": 2}},
            "validation": {"n": 3, "negatives": {"random": 4}},
            "test": {"per_decile": 2, "negatives": {"random": 5, "neighbour": 6}},
        }
    )
    with tokens(64) as corpus:
        first, second = Imagined(sampling, corpus).of([9, 4])
        assert (first.latent, second.latent) == (4, 9)
        assert [len(part) for part in (first.train, first.test, first.validation)] == [7, 20, 3]
        assert first.negative.kinds == ["random"] * 5 + ["neighbour"] * 6
        assert first.train_negative.kinds == ["surface"] * 2
        assert first.validation_negative.kinds == ["random"] * 4
        assert first.train.tokens.shape == (7, 16)
        assert (first.train.activations.max(axis=1) == 1).all()
        assert not first.negative.activations.any()
        assert np.bincount(first.test.deciles)[1:].tolist() == [2] * 10
        assert set(latents_schema().names) == set(first.facts)
        assert len(corpus.vocabulary.text(first.train.tokens[0])) == 4 * 16
        folder = corpus.directory
        assert folder.is_dir()
    assert not folder.exists()
