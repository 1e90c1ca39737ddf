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
MOE = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 12, "shared_expert_intermediate_size": 12}
DEEPSEEK = {
    "num_key_value_heads": 2,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 4,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 12,
    "first_k_dense_replace": 1,
}
QWEN35 = {
    "num_key_value_heads": 1,
    "head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 4,
    "linear_value_head_dim": 4,
    "linear_conv_kernel_dim": 2,
}
GEMMA3N = {
    "num_hidden_layers": 2,
    "intermediate_size": [24, 24],
    "activation_sparsity_pattern": [0.0, 0.0],
    "hidden_size_per_layer_input": 4,
    "vocab_size_per_layer_input": WORDS,
    "altup_num_inputs": 2,
    "laurel_rank": 4,
    "num_kv_shared_layers": 0,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"],
    "pad_token_id": 0,
}
GEMMA4 = {
    "hidden_size_per_layer_input": 0,
    "sliding_window": 8,
    "num_kv_shared_layers": 0,
    "layer_types": ["sliding_attention", "full_attention"],
    "global_head_dim": 6,
    "pad_token_id": 0,
}
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
"""Those that all that runs a model is tested with."""
MORE: dict[str, dict[str, Any]] = {
    "phi": SHARED | {"partial_rotary_factor": 0.5},
    "phi3": SHARED | {"num_key_value_heads": 1, "pad_token_id": 0},
    "olmo": SHARED,
    "olmo2": SHARED,
    "olmo3": SHARED | {"sliding_window": 8},
    "smollm3": SHARED | {"num_key_value_heads": 1, "pad_token_id": 0},
    "mixtral": SHARED | {"num_key_value_heads": 1, "num_local_experts": 3, "num_experts_per_tok": 2},
    "qwen2_moe": SHARED | {"num_key_value_heads": 1} | MOE,
    "qwen3_moe": SHARED | GROUPED | MOE,
    "qwen3_moe-dense": SHARED | GROUPED | MOE | {"mlp_only_layers": [1]},
    "gpt_oss": SHARED
    | {"num_key_value_heads": 1, "head_dim": 8, "num_local_experts": 3, "num_experts_per_tok": 2, "pad_token_id": 0},
    "deepseek_v2": SHARED | DEEPSEEK,
    "deepseek_v2-direct": SHARED | DEEPSEEK | {"q_lora_rank": None},
    "deepseek_v3": SHARED | DEEPSEEK,
    "qwen3_5_text": SHARED | QWEN35,
    "gemma3n_text": SHARED | GROUPED | GEMMA3N,
    "gemma4_text": SHARED | GROUPED | GEMMA4,
}
"""Those whose places are tested."""


def make(family: str, **values: Any) -> Any:
    """A causal language model; gains of norms are random as well, so that forgetting one shows."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family.partition("-")[0], **{**(SPECIAL | MORE)[family], **values})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.data += torch.randn_like(parameter) / 4
            assert torch.isfinite(parameter).all(), name
    return model.eval().requires_grad_(requires_grad=False)
