from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.coders.activations import Activation, Events, Gated, GroupMax, JumpRelu, Relu, TopK
from stages.coders.sparse_coder import SparseCoder


def coder_of(activation: Activation, W_enc: list[list[float]], b_enc: list[float], b_pre: list[float]) -> SparseCoder:  # noqa: N803
    encoder = torch.tensor(W_enc)
    zero = torch.zeros(encoder.shape[1])
    return SparseCoder(encoder, torch.tensor(b_enc), encoder, zero, torch.tensor(b_pre), activation, "by hand", {})


def by_hand(activation: Activation | None = None) -> SparseCoder:
    rows = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, -1.0]]
    return coder_of(activation or TopK(2), rows, [0.0, 0.5, -1.0, 0.0], [1.0, 0.0])


def events(coder: SparseCoder, x: list[list[float]]) -> list[tuple[int, int, float]]:
    found = coder.encode(torch.tensor(x))
    return sorted(zip(found.rows.tolist(), found.latents.tolist(), found.values.tolist(), strict=True))


def test_the_input_is_centred_then_encoded_and_the_largest_are_kept() -> None:
    # x - b_pre = (2, 1): pre-activations 2, 1.5, 2, -3. x - b_pre = (-1, -1): -1, -0.5, -3, 2.
    assert events(by_hand(TopK(3)), [[3.0, 1.0]]) == [(0, 0, 2.0), (0, 1, 1.5), (0, 2, 2.0)]
    assert events(by_hand(TopK(2)), [[3.0, 1.0], [0.0, -1.0]]) == [(0, 0, 2.0), (0, 2, 2.0), (1, 3, 2.0)]


def test_what_is_not_above_zero_is_not_active() -> None:
    assert events(by_hand(TopK(4)), [[1.0, -0.5]]) == [(0, 3, 0.5)]  # pre-activations 0, 0, -1.5, 0.5
    assert events(by_hand(TopK(2)), [[1.0, -0.5]]) == [(0, 3, 0.5)]
    assert events(coder_of(TopK(1), [[1.0]], [-1.0], [0.0]), [[0.0]]) == []


def test_each_activation_by_hand() -> None:
    x = [[3.0, 1.0], [0.0, -1.0]]  # pre-activations 2, 1.5, 2, -3 and -1, -0.5, -3, 2
    assert events(by_hand(Relu()), x) == [(0, 0, 2.0), (0, 1, 1.5), (0, 2, 2.0), (1, 3, 2.0)]
    thresholds = torch.tensor([2.0, 1.0, -5.0, 1.0])
    assert events(by_hand(JumpRelu(thresholds)), x) == [(0, 1, 1.5), (0, 2, 2.0), (1, 3, 2.0)]  # strictly above; relu
    assert events(by_hand(GroupMax(2)), x) == [(0, 0, 2.0), (0, 2, 2.0), (1, 3, 2.0)]
    assert events(by_hand(TopK(3, signed=True)), [[0.0, -1.0]]) == [(0, 0, -1.0), (0, 1, -0.5), (0, 3, 2.0)]


def test_a_gated_coder_by_hand() -> None:
    gated = Gated(
        r_mag=torch.log(torch.tensor([2.0, 1.0])), b_mag=torch.tensor([1.0, -5.0]), b_gate=torch.tensor([0.0, 0.0])
    )
    coder = coder_of(gated, [[1.0], [1.0]], [0.0, 0.0], [0.0])
    # g = 3: 2·3 + 1 = 7 and 3 - 5 < 0. g = -0.25: the gate is shut, although 2·-0.25 + 1 > 0.
    assert events(coder, [[3.0], [-0.25]]) == [(0, 0, 7.0)]


def test_without_an_encoder_the_latents_are_the_inputs() -> None:
    zero = torch.zeros(3)
    coder = SparseCoder(None, zero, None, torch.zeros(0), zero, TopK(2, signed=True), "neurons", {})
    assert events(coder, [[0.5, -2.0, 1.0], [-1.0, 0.0, -3.0]]) == [(0, 0, 0.5), (0, 2, 1.0), (1, 0, -1.0)]
    with pytest.raises(ValueError, match="can't decode"):
        coder.reconstruct(torch.ones(1, 3))


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        ("none", [3.0, 1.0, 2.0]),
        ("centre", [1.0, -1.0, 0.0]),
        ("constant_norm", [3 * (3 / 14) ** 0.5, (3 / 14) ** 0.5, 2 * (3 / 14) ** 0.5]),
        ("layer_norm", [1 / (1 + 1e-5), -1 / (1 + 1e-5), 0.0]),  # the unbiased standard deviation of 3, 1, 2 is 1
    ],
)
def test_input_norms_by_hand(norm: str, expected: list[float]) -> None:
    encoder, zero = torch.eye(3), torch.zeros(3)
    activation = TopK(3, signed=True)
    coder = SparseCoder(encoder, zero, encoder, zero, zero, activation, "", {}, input_norm=norm)  # type: ignore[arg-type]
    x = torch.tensor([[3.0, 1.0, 2.0]])
    dense = torch.zeros(3)
    found = coder.encode(x)
    dense[found.latents] = found.values
    assert dense.tolist() == pytest.approx(expected, abs=1e-6)
    rebuilt = coder.reconstruct(x)[0].tolist()
    assert rebuilt == pytest.approx([1, -1, 0] if norm == "centre" else [3, 1, 2], abs=2e-5)


def test_no_inputs_give_no_events() -> None:
    found = by_hand().encode(torch.empty(0, 2))
    assert [len(part) for part in found] == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_coder_computes_in_its_own_type_whatever_comes_in(dtype: torch.dtype) -> None:
    found = by_hand().encode(torch.tensor([[3.0, 1.0]], dtype=dtype))
    assert found.values.dtype == torch.float32
    assert sorted(found.values.tolist()) == [2.0, 2.0]
    assert by_hand().to(torch.device("cpu"), dtype).encode(torch.tensor([[3.0, 1.0]])).values.dtype == dtype


ACTIVATIONS = {
    "relu": lambda n, g: Relu(),
    "jumprelu": lambda n, g: JumpRelu(torch.tensor(g.normal(0, 0.5, n), dtype=torch.float32)),
    "gated": lambda n, g: Gated(*torch.tensor(g.normal(0, 0.5, (3, n)), dtype=torch.float32)),
    "topk": lambda n, g: TopK(int(g.integers(1, n + 1))),
    "signed topk": lambda n, g: TopK(int(g.integers(1, n + 1)), signed=True),
    "groupmax": lambda n, g: GroupMax(int(g.choice([k for k in range(1, n + 1) if n % k == 0]))),
}


def dense_of(activation: Activation, h: np.ndarray) -> np.ndarray:
    """The activations of pre-activations ``h``, as the papers write them, in NumPy."""
    match activation:
        case Relu():
            return np.maximum(h, 0)
        case JumpRelu(threshold):
            return np.maximum(h, 0) * (h > threshold.numpy())
        case Gated(r_mag, b_mag, b_gate):
            return (h + b_gate.numpy() > 0) * np.maximum(np.exp(r_mag.numpy()) * h + b_mag.numpy(), 0)
        case TopK(k, signed):
            kept = np.where(h >= np.sort(h, axis=1)[:, -k][:, None], h, 0)
            return kept if signed else np.maximum(kept, 0)
        case GroupMax(k):
            groups = h.reshape(len(h), k, -1)
            return (np.maximum(groups, 0) * (groups == groups.max(2, keepdims=True))).reshape(h.shape)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.integers(1, 6),
    st.integers(1, 80),
    st.sampled_from(sorted(ACTIVATIONS)),
)
def test_encoding_equals_the_dense_formula_whatever_is_held_at_once(
    seed: int, n_latents: int, n: int, cells: int, name: str
) -> None:
    generator = np.random.default_rng(seed)
    encoder, b_enc = generator.normal(size=(n_latents, 3)), generator.normal(size=n_latents)
    b_pre, x = generator.normal(size=3), generator.normal(size=(n, 3))
    activation = ACTIVATIONS[name](n_latents, generator)
    if name == "gated":
        b_enc[:] = 0
    coder = coder_of(activation, encoder.tolist(), b_enc.tolist(), b_pre.tolist())
    expected = dense_of(activation, (x - b_pre) @ encoder.T + b_enc)
    found = coder.encode(torch.tensor(x, dtype=torch.float32), cells)
    assert (np.diff(found.rows.numpy()) >= 0).all()
    assert len(set(zip(found.rows.tolist(), found.latents.tolist(), strict=True))) == len(found.rows)
    assert (found.values != 0).all()
    rebuilt = np.zeros_like(expected)
    rebuilt[found.rows, found.latents] = found.values
    assert np.allclose(rebuilt, expected, atol=1e-4)


def test_decoding_by_hand() -> None:
    W_dec = torch.tensor([[1.0, 2.0], [10.0, 0.0], [0.0, 5.0]])  # noqa: N806
    zero = torch.zeros(2)
    coder = SparseCoder(W_dec, torch.zeros(3), W_dec, torch.tensor([0.5, -0.5]), zero, TopK(2), "by hand", {})
    found = Events(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 0]), torch.tensor([1.0, 2.0, 3.0]))
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert coder.decode(found, x).tolist() == [[1.5, 11.5], [3.5, 5.5]]
    skipping = replace(coder, W_skip=torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
    assert skipping.decode(found, x).tolist() == [[1.5, 13.5], [4.5, 5.5]]


def test_a_coder_on_another_device_is_the_same_coder() -> None:
    coder = by_hand(JumpRelu(torch.ones(4)))
    moved = coder.to(torch.device("meta"))
    assert moved.W_enc is not None
    assert isinstance(moved.activation, JumpRelu)
    assert moved.W_enc.device.type == moved.b_pre.device.type == moved.activation.threshold.device.type == "meta"
    assert (moved.source, moved.identity) == (coder.source, coder.identity)
    assert (moved.d_in, moved.n_latents, moved.device.type) == (2, 4, "meta")
