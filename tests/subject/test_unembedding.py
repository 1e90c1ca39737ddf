from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import GemmaConfig, GemmaForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from stages.subject.load import Subject
from stages.subject.unembedding import promoted

WORDS, WIDTH = 40, 8


def subject_of(kind: str) -> Subject:
    """A subject whose final norm has a gain other than 1."""
    shared: dict[str, Any] = {
        "vocab_size": WORDS,
        "hidden_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
    }
    ends: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if kind == "llama":
            model: Any = LlamaForCausalLM(LlamaConfig(**shared, **ends, intermediate_size=8))
        elif kind == "gemma":
            config = GemmaConfig(
                **shared, **ends, intermediate_size=8, head_dim=8, num_key_value_heads=1, pad_token_id=0
            )
            model = GemmaForCausalLM(config)
        else:
            model = GPT2LMHeadModel(GPT2Config(vocab_size=WORDS, n_embd=WIDTH, n_layer=1, n_head=1, **ends))
        norm = model.base_model.ln_f if kind == "gpt2" else model.base_model.norm
        norm.weight.data = torch.rand(WIDTH)
    model.requires_grad_(requires_grad=False)
    return Subject(model, kind, {}, torch.device("cpu"))


def test_gains_are_read_as_the_norm_applies_them() -> None:
    for kind in ("llama", "gemma"):
        subject = subject_of(kind)
        norm = subject.model.base_model.norm
        gain = norm.weight + 1 if kind == "gemma" else norm.weight
        unit = torch.ones(1, WIDTH)  # its root mean square is 1, so the norm leaves the gain
        assert torch.allclose(norm(unit), gain[None], atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gemma", "gpt2"])
@pytest.mark.parametrize("block", [2, 1024])
def test_promoted_tokens_by_hand(kind: str, block: int) -> None:
    subject = subject_of(kind)
    special = np.zeros(WORDS, bool)
    special[[0, 7]] = True
    directions = np.random.default_rng(0).normal(size=(5, WIDTH)).astype(np.float32)
    found = promoted(subject, torch.from_numpy(directions), torch.from_numpy(special), n=3, block=block)
    assert found is not None

    head = subject.model.get_output_embeddings().weight.numpy().astype(np.float64)
    base = subject.model.base_model
    norm = base.ln_f if kind == "gpt2" else base.norm
    gain = norm.weight.numpy() + (1 if kind == "gemma" else 0)
    for i, direction in enumerate(directions):
        centred = direction - direction.mean() if kind == "gpt2" else direction  # LayerNorm takes the mean away
        logits = {word: float(head[word] @ (gain * centred)) for word in range(WORDS) if not special[word]}
        mean = sum(logits.values()) / len(logits)
        ranked = sorted(logits, key=lambda word: -logits[word])
        assert found.top_tokens[i].tolist() == ranked[:3]
        assert found.bottom_tokens[i].tolist() == ranked[:-4:-1]
        assert np.allclose(found.top_values[i], [logits[word] - mean for word in ranked[:3]], atol=1e-5)
        assert np.allclose(found.bottom_values[i], [logits[word] - mean for word in ranked[:-4:-1]], atol=1e-5)
    assert found.top_tokens.dtype == torch.int32


def test_there_are_never_more_tokens_than_exist() -> None:
    special = torch.ones(WORDS, dtype=torch.bool)
    special[3:5] = False
    found = promoted(subject_of("llama"), torch.ones(2, WIDTH), special)
    assert found is not None
    assert found.top_tokens.shape == (2, 2)
    assert set(found.top_tokens[0].tolist()) == {3, 4}


def test_rows_of_the_embedding_without_a_token_are_left_out() -> None:
    found = promoted(subject_of("llama"), torch.ones(1, WIDTH), torch.zeros(10, dtype=torch.bool), n=20)
    assert found is not None
    assert sorted(found.top_tokens[0].tolist()) == list(range(10))


def test_a_direction_of_another_width_promotes_nothing() -> None:
    assert promoted(subject_of("llama"), torch.ones(2, WIDTH + 1), torch.zeros(WORDS, dtype=torch.bool)) is None
