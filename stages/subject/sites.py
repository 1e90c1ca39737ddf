"""TransformerLens' names of the places in a language model, as modules of Hugging Face Transformers.

One table per architecture family: name -> (module path relative to the base model, which part of it), or the reason why the
family has no such place. ``{L}`` is the block. Sites and their meaning follow TransformerLens 2, and the native names of
TransformerLens 3 (``blocks.{L}.hook_out``) stand beside them; that the modules hold the same quantities is tested on a small
model of every architecture, by hand and against TransformerBridge.
"""

from __future__ import annotations

from collections.abc import Collection
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

EXPERTS = (
    "its MLP is a mixture of experts, which have no neurons side by side; hook {mlp}, what all of them give together"
)
LINEAR = "its attention is linear in this layer and has no heads to read before a projection; hook {attention}"
PARALLEL = "its attention and its MLP read the residual stream side by side, so there is no middle"
ONE_NORM = "its attention and its MLP read the same norm; say blocks.{L}.ln1.hook_normalized"
STREAMS = "its residual stream is several side by side, so it has no vector a token; hook what a block reads or writes inside it"
NORMED = "TransformerLens 2 would read it behind the norm that follows, TransformerBridge before; say {module} (before) or {norm} (behind)"
UNTOLD = "what TransformerLens reads there is not known for this architecture; say {norm}.normalized (before its gain) or {norm} (behind)"


def _family(
    block: str,
    embed: tuple[str, Part],
    norm_1: str | None,
    attention: str,
    heads: str,
    norm_2: str | None,
    mlp: str,
    pre: Place,
    post: Place,
    after_attention: str | None = None,
    after_mlp: str | None = None,
    layer_norm: bool = False,
) -> dict[str, Place]:
    """The names of a family by its modules in a block: norms before and after the sublayers, what they read and what they write."""

    def inside(path: str | None) -> str:
        return f"{block}.{path}"

    normalized: list[Place] = []
    for norm, after in ((norm_1, after_attention), (norm_2, after_mlp)):
        # Where a sublayer has a norm behind it alone, that is what TransformerLens calls its norm.
        path = inside(norm or after)
        normalized.append(AMBIGUOUS.format(norm=path) if layer_norm else (path, "normalized"))
    reads_1: Place = (inside(norm_1), "output") if norm_1 else (inside(attention), "input")
    reads_2: Place = (inside(norm_2), "output") if norm_2 else (inside(mlp), "input")
    attn_out, mlp_out = inside(after_attention or attention), inside(after_mlp or mlp)
    at = "blocks.{L}."
    return {
        "hook_embed": embed,
        f"{at}hook_resid_pre": (block, "input"),
        f"{at}hook_resid_mid": (inside(norm_2 or mlp), "input"),
        f"{at}hook_resid_post": (block, "output"),
        f"{at}hook_in": (block, "input"),
        f"{at}hook_out": (block, "output"),
        f"{at}hook_attn_out": (attn_out, "output"),
        f"{at}attn.hook_in": reads_1,
        f"{at}attn.hook_z": (inside(heads), "input"),
        f"{at}attn.hook_out": (inside(attention), "output"),
        f"{at}hook_mlp_out": (mlp_out, "output"),
        f"{at}mlp.hook_in": reads_2,
        f"{at}mlp.hook_pre": pre,
        f"{at}mlp.hook_post": post,
        f"{at}mlp.hook_out": (inside(mlp), "output"),
        f"{at}ln1.hook_normalized": normalized[0],
        f"{at}ln2.hook_normalized": normalized[1],
    }


GPT2 = _family(
    "h.{L}",
    ("wte", "output"),
    norm_1="ln_1",
    attention="attn",
    heads="attn.c_proj",
    norm_2="ln_2",
    mlp="mlp",
    pre=("h.{L}.mlp.c_fc", "output"),
    post=("h.{L}.mlp.c_proj", "input"),
    layer_norm=True,
)
GPT_NEOX_SEQUENTIAL = _family(
    "layers.{L}",
    ("embed_in", "output"),
    norm_1="input_layernorm",
    attention="attention",
    heads="attention.dense",
    norm_2="post_attention_layernorm",
    mlp="mlp",
    pre=("layers.{L}.mlp.dense_h_to_4h", "output"),
    post=("layers.{L}.mlp.dense_4h_to_h", "input"),
    layer_norm=True,
)
GPT_NEOX = GPT_NEOX_SEQUENTIAL | {"blocks.{L}.hook_resid_mid": PARALLEL}
LLAMA = _family(
    "layers.{L}",
    ("layers.0", "input"),  # what enters the first block, because Gemma 1 scales its embeddings on the way there
    norm_1="input_layernorm",
    attention="self_attn",
    heads="self_attn.o_proj",
    norm_2="post_attention_layernorm",
    mlp="mlp",
    pre=("layers.{L}.mlp.gate_proj", "output"),
    post=("layers.{L}.mlp.down_proj", "input"),
)
# Attention and MLP write to the residual stream through a norm of their own.
GEMMA = _family(
    "layers.{L}",
    ("layers.0", "input"),
    norm_1="input_layernorm",
    attention="self_attn",
    heads="self_attn.o_proj",
    norm_2="pre_feedforward_layernorm",
    mlp="mlp",
    pre=("layers.{L}.mlp.gate_proj", "output"),
    post=("layers.{L}.mlp.down_proj", "input"),
    after_attention="post_attention_layernorm",
    after_mlp="post_feedforward_layernorm",
)
GEMMA4 = GEMMA | {
    f"blocks.{{L}}.{norm}.hook_normalized": UNTOLD.format(norm=f"layers.{{L}}.{path}")
    for norm, path in (("ln1", "input_layernorm"), ("ln2", "pre_feedforward_layernorm"))
}
# Norms stand behind the sublayers alone.
OLMO2 = _family(
    "layers.{L}",
    ("layers.0", "input"),
    norm_1=None,
    attention="self_attn",
    heads="self_attn.o_proj",
    norm_2=None,
    mlp="mlp",
    pre=("layers.{L}.mlp.gate_proj", "output"),
    post=("layers.{L}.mlp.down_proj", "input"),
    after_attention="post_attention_layernorm",
    after_mlp="post_feedforward_layernorm",
)
PHI = _family(
    "layers.{L}",
    ("layers.0", "input"),
    norm_1="input_layernorm",
    attention="self_attn",
    heads="self_attn.dense",
    norm_2="input_layernorm",
    mlp="mlp",
    pre=("layers.{L}.mlp.fc1", "output"),
    post=("layers.{L}.mlp.fc2", "input"),
    layer_norm=True,
) | {"blocks.{L}.hook_resid_mid": PARALLEL, "blocks.{L}.ln2.hook_normalized": ONE_NORM}
PHI3 = LLAMA | {"blocks.{L}.mlp.hook_pre": ("layers.{L}.mlp.activation_fn", "input")}
GEMMA3N = GEMMA | {
    "hook_embed": STREAMS,
    **{
        f"blocks.{{L}}.{name}": STREAMS
        for name in ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_in", "hook_out")
    },
    **{
        f"blocks.{{L}}.{name}": NORMED.format(module=f"layers.{{L}}.{module}", norm=f"layers.{{L}}.{norm}")
        for name, module, norm in (
            ("hook_attn_out", "self_attn", "post_attention_layernorm"),
            ("hook_mlp_out", "mlp", "post_feedforward_layernorm"),
        )
    },
}
MIXTURE: dict[str, Place] = dict.fromkeys(
    ("blocks.{L}.mlp.hook_pre", "blocks.{L}.mlp.hook_post"), EXPERTS.format(mlp="layers.{L}.mlp")
)
"""What is otherwise in blocks whose MLP is a mixture of experts."""
LINEAR_ATTENTION: dict[str, Place] = {
    "blocks.{L}.hook_attn_out": ("layers.{L}.linear_attn", "output"),
    "blocks.{L}.attn.hook_out": ("layers.{L}.linear_attn", "output"),
    "blocks.{L}.attn.hook_z": LINEAR.format(attention="layers.{L}.linear_attn"),
}
"""What is otherwise in blocks with linear attention."""

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
    "gemma3n_text": GEMMA3N,
    "gemma4_text": GEMMA4,
    "phi": PHI,
    "phi3": PHI3,
    "olmo2": OLMO2,
    "olmo3": OLMO2,
    "smollm3": LLAMA,
    "mixtral": LLAMA,
    "qwen2_moe": LLAMA,
    "qwen3_moe": LLAMA,
    "gpt_oss": LLAMA,
    "deepseek_v2": LLAMA,
    "deepseek_v3": LLAMA,
    "qwen3_5_text": LLAMA,
    "qwen3_5_moe_text": LLAMA,
}
"""By ``model_type`` of the base model's config."""


def table(config: Any, modules: Collection[str]) -> dict[str, Place]:
    """Returns every TransformerLens name of a model, and its place; nothing if its family is unknown.

    Args:
        config: Of the base model.
        modules: Their paths in it, by which blocks are told apart where not all are alike.
    """
    family = FAMILIES.get(config.model_type, {})
    if family is GPT_NEOX and not config.use_parallel_residual:
        family = GPT_NEOX_SEQUENTIAL
    usual = {name: place for name, place in family.items() if "{L}" not in name}
    for block in range(config.num_hidden_layers if family else 0):
        own = dict(family)
        if f"layers.{block}.linear_attn" in modules:
            own |= LINEAR_ATTENTION
        if f"layers.{block}.mlp.experts" in modules:
            own |= MIXTURE
        usual |= {name.replace("{L}", str(block)): _at(place, block) for name, place in own.items() if "{L}" in name}
    return usual


def _at(place: Place, block: int) -> Place:
    """The place in one block."""
    if isinstance(place, str):
        return place.replace("{L}", str(block))
    return place[0].replace("{L}", str(block)), place[1]
