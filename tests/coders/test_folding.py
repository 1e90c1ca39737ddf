from __future__ import annotations

from typing import Any

import pytest
import torch

from stages.coders import folding
from stages.coders.activations import Relu
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.subject.hookpoints import activations
from stages.subject.load import Subject
from tests import families

IDS = torch.arange(24).reshape(2, 12)
PLACES = {
    "gpt2": ("h.1.attn.c_proj.input", "ln_1"),
    "gpt_neox": ("layers.1.attention.dense.input", "input_layernorm"),
    "llama": ("layers.1.self_attn.o_proj.input", "input_layernorm"),
    "qwen2": ("layers.1.self_attn.o_proj.input", "input_layernorm"),
}


def coder(hookpoint: str, width: int = families.WIDTH, **more: Any) -> SparseCoder:
    generator = torch.Generator().manual_seed(0)
    return SparseCoder(
        W_enc=torch.randn(20, width, generator=generator),
        b_enc=torch.zeros(20),
        W_dec=torch.randn(20, width, generator=generator),
        b_dec=torch.randn(width, generator=generator),
        b_pre=torch.randn(width, generator=generator),
        activation=Relu(),
        source="here",
        identity={"sha256": "0"},
        hookpoint=hookpoint,
        values_folded=True,
        **more,
    )


def subject_of(family: str, model: Any = None) -> Subject:
    return Subject(model or families.make(family), family, {"sha256": "0"}, torch.device("cpu"))


@pytest.mark.parametrize("family", PLACES)
def test_what_heads_read_of_a_norm_that_gives_its_bias_alone_is_taken_away(family: str) -> None:
    hookpoint, norm = PLACES[family]
    silent = families.make(family)
    for name, parameter in silent.named_parameters():
        if name.endswith(f"{norm}.weight") and ".1." in name:
            parameter.zero_()
    constant = activations(subject_of(family, silent), [hookpoint], IDS)[hookpoint][0, 3]
    found = coder(hookpoint)
    ours = folding.settled(found, subject_of(family))
    assert torch.allclose(ours.b_pre, found.b_pre + constant, atol=1e-5)
    assert torch.allclose(ours.b_dec, found.b_dec + constant, atol=1e-5)
    assert bool(constant.any()) is (family != "llama")  # which has no bias
    assert not ours.values_folded


def test_other_coders_stay_as_they_are_and_other_places_are_refused() -> None:
    subject = subject_of("gpt2")
    plain = folding.settled(coder("h.1.attn.c_proj.input"), subject)
    assert folding.settled(plain, subject) is plain
    with pytest.raises(GlossaError, match=r"only at the input of an attention's output projection, but reads h\.1;"):
        folding.settled(coder("h.1"), subject)
    with pytest.raises(GlossaError, match="only at the input of an attention's output projection"):
        folding.settled(coder("h.1.attn.c_proj.input", input_norm="constant_norm"), subject)
    with pytest.raises(GlossaError, match=r"reads 5 values a token, but h\.1\.attn\.c_proj\.input"):
        folding.settled(coder("h.1.attn.c_proj.input", width=5), subject)
