from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages import paths
from stages.errors import GlossaError
from stages.examples.table import Examples


@pytest.fixture
def examples(at_finished: Path) -> Examples:
    return Examples.open(paths.examples("one"))


def test_latents_come_back_with_their_windows(examples: Examples) -> None:
    kept = [row for row in examples.latents.to_pylist() if row["dropped"] is None]
    found = list(examples)
    assert [latent.facts for latent in found] == kept
    assert len(kept) == examples.meta["kept"] > 5
    rows = examples.windows.to_pylist()
    for latent in found:
        assert latent.latent == latent.facts["latent"]
        for role in ("train", "test", "negative"):
            part = [row for row in rows if row["latent"] == latent.latent and row["role"] == role]
            windows = getattr(latent, role)
            assert len(windows) == len(part) == latent.facts[f"n_{role}"]
            assert windows.numbers.tolist() == [row["window"] for row in part]
            assert windows.deciles.tolist() == [row["decile"] for row in part]
            assert windows.kinds == [row["kind"] for row in part]
            assert windows.tokens.shape == windows.activations.shape == (len(part), 8)
            assert windows.tokens.tolist() == [row["tokens"] for row in part]
            assert windows.activations.tolist() == [row["activations"] for row in part]


def test_train_and_test_windows_fire_and_negatives_do_not(examples: Examples) -> None:
    for latent in examples:
        assert (latent.train.activations.max(axis=1) > 0).all()
        assert (latent.test.activations.max(axis=1) > 0).all()
        assert not latent.negative.activations.any()
        assert not np.intersect1d(latent.train.numbers, latent.test.numbers).size


def test_a_missing_sample_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        GlossaError, match=r"expected glossa/examples in .*none, but it has no meta\.json; run dvc repro"
    ):
        Examples.open(tmp_path / "none")
