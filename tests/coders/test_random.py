from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.coders import random
from stages.errors import GlossaError


@given(width=st.integers(1, 40), latents=st.integers(1, 60), data=st.data())
def test_every_direction_has_norm_1_and_is_its_own_decoder(width: int, latents: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, latents))
    coder = random.load(width, "layers.0", latents, k, (0, 0))
    assert coder.W_enc is not None
    assert coder.W_dec is not None
    assert coder.W_enc.shape == (latents, width)
    assert torch.allclose(coder.W_enc.norm(dim=1), torch.ones(latents))
    assert torch.equal(coder.W_enc, coder.W_dec)
    assert (coder.d_in, coder.n_latents, coder.hookpoint) == (width, latents, "layers.0")


def test_directions_are_uniform_on_the_sphere() -> None:
    rows = random.load(8, "x", 20_000, 1, (0, 0)).W_dec.numpy()
    second = rows.T @ rows / len(rows)  # the identity over the width, whatever the direction
    assert np.abs(rows.mean(axis=0)).max() < 0.01
    assert np.abs(second - np.eye(8) / 8).max() < 0.005


def test_the_k_largest_above_0_are_active() -> None:
    coder = random.load(4, "x", 6, 3, (0, 0))
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    events = coder.encode(x)
    for row in range(50):
        scores = (coder.W_enc @ x[row]).tolist()
        expected = {i for i in sorted(range(6), key=lambda i, scores=scores: -scores[i])[:3] if scores[i] > 0}
        assert set(events.latents[events.rows == row].tolist()) == expected


def test_seeds_decide_the_directions() -> None:
    def make(seeds: tuple[int, int], **changed: int) -> random.SparseCoder:
        values = {"width": 8, "latents": 16, "k": 4} | changed
        return random.load(values["width"], "layers.0", values["latents"], values["k"], seeds)

    first = make((0, 0))
    assert torch.equal(first.W_dec, make((0, 0)).W_dec)
    assert first.identity == make((0, 0)).identity
    others = [make((1, 0)), make((0, 1)), make((0, 0), width=9), make((0, 0), latents=17), make((0, 0), k=5)]
    assert len({coder.identity["sha256"] for coder in (first, *others)}) == 6
    assert not torch.equal(others[0].W_dec, others[1].W_dec)


def test_k_is_at_most_the_number_of_latents() -> None:
    with pytest.raises(GlossaError, match="the k of a random coder should be at most its 4 latents, found 5"):
        random.load(3, "x", 4, 5, (0, 0))
