"""Coders of attention heads that were trained where TransformerLens had folded the heads' value biases away.

Attention sums to 1, so what the heads read holds a constant part: the value bias, and the bias of the LayerNorm before it as the value
matrix maps it. TransformerLens' default processing moves that part behind the output projection (``fold_value_biases``), so its
``hook_z`` is what the projection takes in minus a constant vector of the layer. That the two are equal is tested on small models.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.subject.hookpoints import resolve
from stages.subject.load import Subject

HEADS = re.compile(r"(?P<block>(?:layers|h)\.\d+)\.(?:attn\.c_proj|attention\.dense|self_attn\.o_proj)")


def settled(coder: SparseCoder, subject: Subject) -> SparseCoder:
    """Returns ``coder`` as it has to read ``subject`` as it is: with the constant part of the heads taken away, and put back.

    Raises:
        GlossaError: the coder reads no attention heads, or those of an architecture whose value biases nobody told.
    """
    if not coder.values_folded:
        return coder
    assert coder.hookpoint is not None
    site = resolve(subject, coder.hookpoint)
    match = HEADS.fullmatch(site.path)
    if match is None or site.part != "input" or coder.input_norm != "none":
        raise GlossaError(
            f"the coder in {coder.source} was trained on attention heads without their value biases, which can be taken away only "
            f"at the input of an attention's output projection, but reads {site.name}; correct its hookpoint"
        )
    found = subject.known(f"value biases of {match['block']}", lambda: _constant(subject, match["block"]).tolist())
    constant = torch.tensor(found, dtype=coder.b_dec.dtype)
    if constant.shape != coder.b_pre.shape:
        raise GlossaError(
            f"the coder in {coder.source} reads {coder.d_in} values a token, but {site.name} of the subject {subject.name} has "
            f"{len(constant)}; is it the right coder, or another hookpoint?"
        )
    return replace(coder, b_pre=coder.b_pre + constant, b_dec=coder.b_dec + constant, values_folded=False)


def _constant(subject: Subject, block: str) -> Tensor:
    """The constant part [heads · d_head] of what the output projection of the attention in ``block`` takes in, float32."""
    modules: Any = subject.modules
    config: Any = subject.base.config
    if (fused := modules.get(f"{block}.attn.c_attn")) is not None:  # GPT-2
        return _at_bias(modules[f"{block}.ln_1"], fused).chunk(3)[2]
    if (fused := modules.get(f"{block}.attention.query_key_value")) is not None:  # GPT-NeoX, head by head
        heads = config.num_attention_heads
        return _at_bias(modules[f"{block}.input_layernorm"], fused).view(heads, 3, -1)[:, 2].reshape(-1)
    if (values := modules.get(f"{block}.self_attn.v_proj")) is not None and f"{block}.input_layernorm" in modules:
        found = _at_bias(modules[f"{block}.input_layernorm"], values)
        groups = config.num_attention_heads // config.num_key_value_heads
        return found.view(config.num_key_value_heads, 1, -1).expand(-1, groups, -1).reshape(-1)
    raise GlossaError(
        f"the value biases of {block} of the subject {subject.name} have to be known for a coder trained without them, which they are "
        "for GPT-2, GPT-NeoX, Llama and their like alone; use another coder"
    )


def _at_bias(norm: Any, projection: Any) -> Tensor:
    """What a projection gives where the norm before it gives nothing but its bias."""
    bias = getattr(norm, "bias", None)
    if bias is None:
        bias = torch.zeros_like(norm.weight)
    with torch.inference_mode():
        return projection(bias[None])[0].detach().float().cpu()
