from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.coders.sparse_coder import SparseCoder


def coder_of(k: int, W_enc: list[list[float]], b_enc: list[float], b_pre: list[float]) -> SparseCoder:  # noqa: N803
    encoder = torch.tensor(W_enc)
    zero = torch.zeros(encoder.shape[1])
    return SparseCoder(encoder, torch.tensor(b_enc), encoder, zero, torch.tensor(b_pre), k, "by hand", {})


def by_hand(k: int = 2) -> SparseCoder:
    return coder_of(k, [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, -1.0]], [0.0, 0.5, -1.0, 0.0], [1.0, 0.0])


def events(coder: SparseCoder, x: list[list[float]]) -> list[tuple[int, int, float]]:
    found = coder.encode(torch.tensor(x))
    return sorted(zip(found.rows.tolist(), found.latents.tolist(), found.values.tolist(), strict=True))


def test_the_input_is_centred_then_encoded_and_the_largest_are_kept() -> None:
    # x - b_pre = (2, 1): pre-activations 2, 1.5, 2, -3. x - b_pre = (-1, -1): -1, -0.5, -3, 2.
    assert events(by_hand(3), [[3.0, 1.0]]) == [(0, 0, 2.0), (0, 1, 1.5), (0, 2, 2.0)]
    assert events(by_hand(2), [[3.0, 1.0], [0.0, -1.0]]) == [(0, 0, 2.0), (0, 2, 2.0), (1, 3, 2.0)]


def test_what_is_not_above_zero_is_not_active() -> None:
    assert events(by_hand(4), [[1.0, -0.5]]) == [(0, 3, 0.5)]  # pre-activations 0, 0, -1.5, 0.5
    assert events(by_hand(2), [[1.0, -0.5]]) == [(0, 3, 0.5)]
    assert events(coder_of(1, [[1.0]], [-1.0], [0.0]), [[0.0]]) == []


def test_no_inputs_give_no_events() -> None:
    found = by_hand().encode(torch.empty(0, 2))
    assert [len(part) for part in found] == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_values_are_float32_whatever_comes_in(dtype: torch.dtype) -> None:
    found = by_hand().encode(torch.tensor([[3.0, 1.0]], dtype=dtype))
    assert found.values.dtype == torch.float32
    assert sorted(found.values.tolist()) == [2.0, 2.0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 6))
def test_encoding_equals_a_dense_topk_in_numpy(seed: int, k: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    encoder, b_enc = generator.normal(size=(7, 3)), generator.normal(size=7)
    b_pre, x = generator.normal(size=3), generator.normal(size=(n, 3))
    coder = coder_of(k, encoder.tolist(), b_enc.tolist(), b_pre.tolist())
    dense = (x - b_pre) @ encoder.T + b_enc
    smallest = np.sort(dense, axis=1)[:, -k]
    expected = np.where((dense >= smallest[:, None]) & (dense > 0), dense, 0)
    found = coder.encode(torch.tensor(x, dtype=torch.float32))
    assert (np.diff(found.rows.numpy()) >= 0).all()
    rebuilt = np.zeros_like(dense)
    rebuilt[found.rows, found.latents] = found.values
    assert np.allclose(rebuilt, expected, atol=1e-4)


def test_decoding_by_hand() -> None:
    W_dec = torch.tensor([[1.0, 2.0], [10.0, 0.0], [0.0, 5.0]])  # noqa: N806
    zero = torch.zeros(2)
    coder = SparseCoder(W_dec, torch.zeros(3), W_dec, torch.tensor([0.5, -0.5]), zero, 2, "by hand", {})
    found = coder.decode(torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.tensor([[0, 2], [1, 0]]))
    assert found.tolist() == [[1.5, 11.5], [3.5, 5.5]]


def test_a_coder_on_another_device_is_the_same_coder() -> None:
    coder = by_hand()
    moved = coder.to(torch.device("meta"))
    assert moved.W_enc.device.type == moved.b_pre.device.type == "meta"
    assert (moved.k, moved.source, moved.identity) == (coder.k, coder.source, coder.identity)
    assert (moved.d_in, moved.n_latents) == (2, 4)
