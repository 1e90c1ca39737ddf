from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from stages.coders import directions, neurons, random
from stages.subject.hookpoints import activations, replaced
from stages.subject.load import Subject
from tests import families

CPU = torch.device("cpu")
IDS = torch.arange(12)[None]


def subject_of(family: str) -> Subject:
    return Subject(families.make(family), family, {"sha256": family}, CPU)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "gemma2", "gemma3_text"])
def test_a_neuron_moves_the_residual_stream_in_its_direction(family: str) -> None:
    """Tried out: a neuron alone is switched on, and the residual stream behind the block is compared."""
    subject = subject_of(family)
    coder = neurons.load(subject, "blocks.1.mlp.hook_post", 4)
    found = directions.residual(coder, subject)
    assert found is not None
    after = "blocks.1.hook_mlp_out"

    def written(neuron: int | None) -> torch.Tensor:
        def only(x: torch.Tensor) -> torch.Tensor:
            alone = torch.zeros_like(x)
            if neuron is not None:
                alone[..., neuron] = 1
            return alone

        with replaced(subject, str(coder.hookpoint), only):
            return activations(subject, [after], IDS)[after][0, 5]

    silent = written(None) if "gemma" not in family else 0  # Gemma's norm has no bias, and makes nothing of nothing
    for neuron in (0, 7, 23):
        moved = written(neuron) - silent
        assert torch.cosine_similarity(moved, found[neuron], dim=0) > 0.9999


@pytest.mark.parametrize(
    ("family", "hookpoint", "expected"),
    [
        ("llama", "layers.1", "as is"),
        ("llama", "layers.1.mlp", "as is"),
        ("llama", "layers.1.mlp.input", "as is"),  # a transcoder
        ("llama", "layers.1.post_attention_layernorm.normalized", "as is"),
        ("llama", "layers.1.self_attn.o_proj.input", None),
        ("llama", "layers.1.mlp.down_proj.input", None),
        ("gpt2", "blocks.0.attn.hook_z", None),
        ("gemma2", "layers.1", "as is"),
        ("gemma2", "layers.1.post_feedforward_layernorm", "as is"),
        ("gemma2", "layers.1.mlp", "post_feedforward_layernorm"),
        ("gemma2", "layers.1.self_attn", "post_attention_layernorm"),
        ("gemma2", "layers.1.self_attn.o_proj.input", None),
    ],
)
def test_where_a_coder_s_decoder_lies(family: str, hookpoint: str, expected: str | None) -> None:
    subject = subject_of(family)
    coder = random.load(16, hookpoint, 5, 2, (0, 0))
    found = directions.residual(coder, subject)
    if expected is None:
        assert found is None
    elif expected == "as is":
        assert found is coder.W_dec
    else:
        assert torch.allclose(found, coder.W_dec * (1 + subject.modules[f"layers.1.{expected}"].weight))


def test_without_a_decoder_there_are_no_directions() -> None:
    coder = replace(random.load(16, "layers.1", 5, 2, (0, 0)), W_dec=None)
    assert directions.residual(coder, subject_of("llama")) is None


@pytest.mark.parametrize(
    ("reconstructs", "gained"),
    [
        ("blocks.1.hook_mlp_out", False),
        ("layers.1.mlp", True),
        ("blocks.1.mlp.hook_out", True),
        ("blocks.1.mlp.hook_pre", None),
    ],
)
def test_a_transcoder_writes_where_it_reconstructs(reconstructs: str, gained: bool | None) -> None:
    subject = subject_of("gemma2")
    coder = replace(random.load(16, "blocks.1.ln2.hook_normalized", 5, 2, (0, 0)), reconstructs=reconstructs)
    found = directions.residual(coder, subject)
    assert (found is None) == (gained is None)
    if found is not None:
        gain = 1 + subject.modules["layers.1.post_feedforward_layernorm"].weight
        assert torch.allclose(found, coder.W_dec * gain if gained else coder.W_dec)
