"""TransformerLens' names of the places in a language model, as modules of Hugging Face Transformers.

One table per architecture family: name -> (module path relative to the base model, which part of it), or the reason why the
family has no such place. ``{L}`` is the block. Sites and their meaning follow TransformerLens 2; that the modules hold the same
quantities is tested on a small model of every architecture.
"""

from __future__ import annotations

from typing import Any, Literal

Part = Literal["output", "input", "normalized"]
"""``normalized`` is what a norm computes before its gain and bias."""

PARTS: tuple[Part, ...] = ("output", "input", "normalized")

Place = tuple[str, Part] | str
"""A module path and the part of it, or why there is none."""

AMBIGUOUS = (
    "TransformerLens reads it before the gain of a LayerNorm where the gain is folded into the weights that follow and behind it "
    "where it is not; say {norm}.normalized (before) or {norm} (behind)"
)

GPT2: dict[str, Place] = {
    "hook_embed": ("wte", "output"),
    "blocks.{L}.hook_resid_pre": ("h.{L}", "input"),
    "blocks.{L}.hook_resid_mid": ("h.{L}.ln_2", "input"),
    "blocks.{L}.hook_resid_post": ("h.{L}", "output"),
    "blocks.{L}.hook_attn_out": ("h.{L}.attn", "output"),
    "blocks.{L}.attn.hook_z": ("h.{L}.attn.c_proj", "input"),
    "blocks.{L}.hook_mlp_out": ("h.{L}.mlp", "output"),
    "blocks.{L}.mlp.hook_in": ("h.{L}.ln_2", "output"),
    "blocks.{L}.mlp.hook_post": ("h.{L}.mlp.c_proj", "input"),
    "blocks.{L}.ln2.hook_normalized": AMBIGUOUS.format(norm="h.{L}.ln_2"),
}
GPT_NEOX: dict[str, Place] = {
    "hook_embed": ("embed_in", "output"),
    "blocks.{L}.hook_resid_pre": ("layers.{L}", "input"),
    "blocks.{L}.hook_resid_mid": "its attention and its MLP read the residual stream side by side, so there is no middle",
    "blocks.{L}.hook_resid_post": ("layers.{L}", "output"),
    "blocks.{L}.hook_attn_out": ("layers.{L}.attention", "output"),
    "blocks.{L}.attn.hook_z": ("layers.{L}.attention.dense", "input"),
    "blocks.{L}.hook_mlp_out": ("layers.{L}.mlp", "output"),
    "blocks.{L}.mlp.hook_in": ("layers.{L}.post_attention_layernorm", "output"),
    "blocks.{L}.mlp.hook_post": ("layers.{L}.mlp.dense_4h_to_h", "input"),
    "blocks.{L}.ln2.hook_normalized": AMBIGUOUS.format(norm="layers.{L}.post_attention_layernorm"),
}
GPT_NEOX_SEQUENTIAL = GPT_NEOX | {"blocks.{L}.hook_resid_mid": ("layers.{L}.post_attention_layernorm", "input")}
LLAMA: dict[str, Place] = {
    # What enters the first block, because Gemma 1 scales its embeddings on the way there.
    "hook_embed": ("layers.0", "input"),
    "blocks.{L}.hook_resid_pre": ("layers.{L}", "input"),
    "blocks.{L}.hook_resid_mid": ("layers.{L}.post_attention_layernorm", "input"),
    "blocks.{L}.hook_resid_post": ("layers.{L}", "output"),
    "blocks.{L}.hook_attn_out": ("layers.{L}.self_attn", "output"),
    "blocks.{L}.attn.hook_z": ("layers.{L}.self_attn.o_proj", "input"),
    "blocks.{L}.hook_mlp_out": ("layers.{L}.mlp", "output"),
    "blocks.{L}.mlp.hook_in": ("layers.{L}.post_attention_layernorm", "output"),
    "blocks.{L}.mlp.hook_post": ("layers.{L}.mlp.down_proj", "input"),
    "blocks.{L}.ln2.hook_normalized": ("layers.{L}.post_attention_layernorm", "normalized"),
}
# Attention and MLP write to the residual stream through a norm of their own.
GEMMA = LLAMA | {
    "blocks.{L}.hook_resid_mid": ("layers.{L}.pre_feedforward_layernorm", "input"),
    "blocks.{L}.hook_attn_out": ("layers.{L}.post_attention_layernorm", "output"),
    "blocks.{L}.hook_mlp_out": ("layers.{L}.post_feedforward_layernorm", "output"),
    "blocks.{L}.mlp.hook_in": ("layers.{L}.pre_feedforward_layernorm", "output"),
    "blocks.{L}.ln2.hook_normalized": ("layers.{L}.pre_feedforward_layernorm", "normalized"),
}

FAMILIES: dict[str, dict[str, Place]] = {
    "gpt2": GPT2,
    "gpt_neox": GPT_NEOX,
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma": LLAMA,
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
}
"""By ``model_type`` of the base model's config."""


def table(config: Any) -> dict[str, Place]:
    """Returns every TransformerLens name of a model with this config, and its place; nothing if the family is unknown."""
    family = FAMILIES.get(config.model_type, {})
    if family is GPT_NEOX and not config.use_parallel_residual:
        family = GPT_NEOX_SEQUENTIAL
    places: dict[str, Place] = {}
    for name, place in family.items():
        for block in range(config.num_hidden_layers if "{L}" in name else 1):
            at = str(block)
            if isinstance(place, str):
                places[name.replace("{L}", at)] = place.replace("{L}", at)
            else:
                places[name.replace("{L}", at)] = (place[0].replace("{L}", at), place[1])
    return places
