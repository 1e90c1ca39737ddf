"""What exports tell of latents by their weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from stages import params, paths
from stages.corpus.tokens import Tokens
from stages.exports.weights import BARS, Weights
from stages.latents.store import LatentStore


@pytest.fixture
def place(finished_workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "place"
    shutil.copytree(finished_workplace, folder)
    monkeypatch.chdir(folder)
    return folder


def test_a_latent_has_its_row_of_the_decoder_and_a_bar_for_every_output_token(place: Path) -> None:
    vocabulary = Tokens.open().vocabulary
    weights = Weights.of(params.load(), "one", vocabulary)
    assert isinstance(weights, Weights)
    found = weights.of_latents([3, 17])
    decoder = load_file("coders/one/sae.safetensors")["W_dec"]
    store = LatentStore.open(paths.latents("one"))
    top, bottom = store.output("top_values"), store.output("bottom_values")
    assert top is not None
    assert bottom is not None
    for latent, written in found.items():
        assert np.allclose(written.vector, decoder[latent])
        assert len(written.heights) == len(written.centres) == BARS
        assert sum(written.heights) == (~vocabulary.special).sum()
        half = (written.centres[1] - written.centres[0]) / 2
        assert written.centres[-1] + half == pytest.approx(top[latent][0], rel=1e-4)
        assert written.centres[0] - half == pytest.approx(bottom[latent][0], rel=1e-4)
    assert found[3].heights != found[17].heights


def test_weights_that_are_not_here_are_a_reason(place: Path) -> None:
    p, vocabulary = params.load(), Tokens.open().vocabulary
    shutil.rmtree("coders/one")
    said = Weights.of(p, "one", vocabulary)
    assert isinstance(said, str)
    assert "coders/one" in said
    assert isinstance(Weights.of(p, "two", vocabulary), Weights)


def test_weights_of_others_are_not_taken(place: Path) -> None:
    shutil.rmtree("coders/one")
    shutil.copytree("coders/two", "coders/one")
    said = Weights.of(params.load(), "one", Tokens.open().vocabulary)
    assert isinstance(said, str)
    assert "should have been taken from the coder that params.yaml names" in said
