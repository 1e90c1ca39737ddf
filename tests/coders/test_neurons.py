from __future__ import annotations

from typing import Any

import pytest
import torch

from stages.coders import neurons
from stages.errors import GlossaError
from stages.subject.hookpoints import activations
from stages.subject.load import Subject
from tests import families

CPU = torch.device("cpu")
IDS = torch.arange(24).reshape(2, 12) + 3
SITES = {
    "gpt2": ("h.1.mlp", "h.1.mlp.c_proj.input"),
    "gpt_neox": ("layers.1.mlp", "layers.1.mlp.dense_4h_to_h.input"),
    "llama": ("layers.1.mlp", "layers.1.mlp.down_proj.input"),
    "gemma2": ("layers.1.mlp", "layers.1.mlp.down_proj.input"),
}


@pytest.fixture(params=list(SITES))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def subject(family: str) -> Subject:
    return Subject(families.make(family), family, {"sha256": family}, CPU)


def test_the_k_largest_neurons_are_read_with_their_sign(subject: Subject, family: str) -> None:
    mlp, site = SITES[family]
    coder = neurons.load(subject, mlp, 20)
    assert (coder.hookpoint, coder.d_in, coder.n_latents, coder.W_enc) == (site, 24, 24, None)
    x = activations(subject, [site], IDS)[site].reshape(-1, 24)
    events = coder.encode(x)
    found = {(int(row), int(latent)): float(value) for row, latent, value in zip(*events, strict=True)}
    expected = {}
    for row, values in enumerate(x.tolist()):
        for latent in sorted(range(24), key=lambda i, values=values: -values[i])[:20]:
            expected[row, latent] = values[latent]
    assert found == pytest.approx(expected)
    assert min(found.values()) < 0, "20 of 24 are never all above 0"


def test_the_decoder_is_the_projection(subject: Subject, family: str) -> None:
    mlp, site = SITES[family]
    coder = neurons.load(subject, mlp, 24)
    read = activations(subject, [site, mlp], IDS)
    assert torch.allclose(coder.reconstruct(read[site].reshape(-1, 24)), read[mlp].reshape(-1, 16), atol=1e-5)


def test_a_site_has_three_names(subject: Subject, family: str) -> None:
    found = [neurons.load(subject, name, 4) for name in (*SITES[family], "blocks.1.mlp.hook_post")]
    assert {coder.hookpoint for coder in found} == {SITES[family][1]}
    assert len({coder.identity["sha256"] for coder in found}) == 1


def test_the_identity_is_of_subject_site_and_k() -> None:
    model = families.make("llama")
    found = [
        neurons.load(Subject(model, "a", {"sha256": sha}, CPU), site, k).identity["sha256"]
        for sha, site, k in (
            ("1", "layers.0.mlp", 4),
            ("2", "layers.0.mlp", 4),
            ("1", "layers.1.mlp", 4),
            ("1", "layers.0.mlp", 5),
        )
    ]
    assert len(set(found)) == 4
    assert neurons.load(Subject(model, "b", {"sha256": "1"}, CPU), "layers.0.mlp", 4).identity["sha256"] == found[0]


@pytest.mark.parametrize(
    ("hookpoint", "k", "expected"),
    [
        (
            "layers.0.mlp",
            25,
            "k should be at most 24, the neurons at layers.0.mlp.down_proj.input of the subject a, found 25",
        ),
        (
            "layers.0",
            4,
            "the hookpoint of neurons should be an MLP or the input of its down projection, found layers.0 of",
        ),
        (
            "norm.input",
            4,
            "the hookpoint of neurons should be an MLP or the input of its down projection, found norm.input of",
        ),
        ("layers.0.mlpp", 4, "the subject a has no hookpoint layers.0.mlpp; did you mean layers.0.mlp"),
    ],
)
def test_what_has_no_neurons_is_a_mistake(hookpoint: str, k: int, expected: str) -> None:
    with pytest.raises(GlossaError) as caught:
        neurons.load(Subject(families.make("llama"), "a", {"sha256": ""}, CPU), hookpoint, k)
    assert str(caught.value).startswith(expected)


class Packed(torch.nn.Module):
    """A linear module whose weight is stored as bytes, as quantized ones are."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.bias = linear.bias
        self.scale = linear.weight.abs().max() / 127
        self.weight = torch.nn.Parameter((linear.weight / self.scale).round().to(torch.int8), requires_grad=False)

    def forward(self, x: Any) -> Any:
        y = x @ (self.weight * self.scale).T
        return y if self.bias is None else y + self.bias


@pytest.mark.parametrize("bias", [True, False])
def test_packed_weights_are_read_by_what_they_do(bias: bool) -> None:
    packed = Packed(torch.nn.Linear(7, 3, bias=bias)).requires_grad_(requires_grad=False)
    assert torch.allclose(neurons.written(packed, block=2), (packed.weight * packed.scale).T, atol=1e-6)
