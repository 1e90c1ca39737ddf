"""Our reader of sparsify's coders against sparsify itself, on random weights."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.coders.readers import Options, sparsify
from stages.errors import GlossaError
from tests.coders.readers import folders, on_disk
from tests.coders.readers.dense import encoded, reconstructed

peer = pytest.importorskip("sparsify")


def assert_same(folder: Path, theirs: Any) -> None:
    """Fails unless what is read from ``folder`` computes what sparsify's coder ``theirs`` does."""
    ours = sparsify.read(folder, Options())
    x = np.random.default_rng(1).normal(size=(64, ours.d_in)).astype(np.float32)
    with torch.inference_mode():
        found = theirs.encode(torch.from_numpy(x))
        latents = torch.zeros(len(x), ours.n_latents).scatter(1, found.top_indices, found.top_acts).numpy()
        outputs = theirs(torch.from_numpy(x)).sae_out
    assert 0 < (latents != 0).sum() < latents.size
    assert np.allclose(encoded(ours, x), latents, rtol=1e-5, atol=1e-5)
    assert np.allclose(reconstructed(ours, x), outputs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("activation", "transcode", "skip"), list(product(["topk", "groupmax"], [False, True], [False, True]))
)
def test_every_flag(tmp_path: Path, activation: str, transcode: bool, skip: bool, seed: int) -> None:
    flags = {"activation": activation, "transcode": transcode, "skip_connection": skip}
    made = folders.sparsify(tmp_path, seed=seed, k=4, **flags)
    assert_same(tmp_path, peer.SparseCoder.load_from_disk(made.path))


@pytest.mark.parametrize("skip", [False, True])
def test_a_config_without_the_key_transcode(tmp_path: Path, skip: bool) -> None:
    """Both subtract b_dec, as all coders did before there was the key."""
    made = folders.sparsify(tmp_path, skip_connection=skip)
    assert "transcode" not in on_disk.read_config(tmp_path / "cfg.json")
    assert_same(tmp_path, peer.SparseCoder.load_from_disk(made.path))


@pytest.mark.parametrize("config", [{"num_latents": 0, "expansion_factor": 2}, {"num_latents": 24}])
@pytest.mark.parametrize("skip", [False, True])
def test_what_it_saves_is_read(tmp_path: Path, config: dict[str, int], skip: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = peer.SparseCoder(8, peer.SparseCoderConfig(k=3, skip_connection=skip, transcode=skip, **config))
        for value in theirs.parameters():
            value.data.normal_()
    theirs.save_to_disk(tmp_path / "layers.3.mlp")
    assert sparsify.detect(tmp_path / "layers.3.mlp")
    assert_same(tmp_path / "layers.3.mlp", theirs)


def test_signed_coders_are_refused(tmp_path: Path) -> None:
    """sparsify drops the key, and so would apply a ReLU to a coder that was trained without one."""
    made = folders.sparsify(tmp_path, signed=True)
    peer.SparseCoder.load_from_disk(made.path)
    with pytest.raises(GlossaError, match="has signed: true"):
        sparsify.read(tmp_path, Options())
