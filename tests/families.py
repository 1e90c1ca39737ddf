"""Tiny language models of the true architectures, with random weights."""

from __future__ import annotations

from typing import Any

import torch

WIDTH, HEADS, NEURONS, BLOCKS, WORDS = 16, 2, 24, 2, 64
SHARED = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": HEADS,
    "intermediate_size": NEURONS,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
GROUPED = {"num_key_value_heads": 1, "head_dim": 6}
GPT2 = {"n_embd": WIDTH, "n_layer": BLOCKS, "n_head": HEADS, "n_inner": NEURONS, "n_positions": 64}
SPECIAL: dict[str, dict[str, Any]] = {
    "gpt2": GPT2 | {name: SHARED[name] for name in ("vocab_size", "initializer_range", "bos_token_id", "eos_token_id")},
    "gpt_neox": SHARED,
    "gpt_neox-sequential": SHARED | {"use_parallel_residual": False},
    "llama": SHARED,
    "mistral": SHARED | GROUPED,
    "qwen2": SHARED | {"num_key_value_heads": 1},
    "qwen3": SHARED | GROUPED,
    "gemma": SHARED | GROUPED,
    "gemma2": SHARED | GROUPED | {"sliding_window": 8},
    "gemma3_text": SHARED | GROUPED | {"sliding_window": 8},
}


def make(family: str, **values: Any) -> Any:
    """A causal language model; gains of norms are random as well, so that forgetting one shows."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family.partition("-")[0], **{**SPECIAL[family], **values})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.data += torch.randn_like(parameter) / 4
            assert torch.isfinite(parameter).all(), name
    return model.eval().requires_grad_(requires_grad=False)
