"""Which output tokens a direction of the residual stream promotes (the logit lens)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stages.subject.load import Subject

FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_norm")


class Promoted(NamedTuple):
    """The tokens whose logits a direction raises and lowers most, per unit of activation."""

    top_tokens: Tensor
    """[directions, n] int32, strongest first."""
    top_values: Tensor
    bottom_tokens: Tensor
    bottom_values: Tensor


def promoted(subject: Subject, directions: Tensor, special: Tensor, n: int = 10, block: int = 1024) -> Promoted | None:
    """Reads ``directions`` [directions, width] through the final norm's gain and the unembedding.

    The effects are centred over the vocabulary, as a constant added to all logits changes nothing; tokens where
    ``special`` [vocabulary] is true are left out. Returns None when the directions don't lie in the residual stream.
    """
    head = subject.model.get_output_embeddings()
    if head is None or head.weight.shape[1] != directions.shape[1]:
        return None
    weight = head.weight.detach().float()
    norm = next((getattr(subject.base, name) for name in FINAL_NORMS if hasattr(subject.base, name)), None)
    if norm is not None and getattr(norm, "weight", None) is not None:
        gain = norm.weight.detach().float()
        weight = weight * (1 + gain if "Gemma" in type(norm).__name__ else gain)
        if isinstance(norm, torch.nn.LayerNorm):
            weight = weight - weight.mean(dim=1, keepdim=True)  # it centres what it reads before the gain
    keep = torch.nonzero(~special[: weight.shape[0]]).squeeze(1).to(weight.device)
    weight = weight[keep]
    n = min(n, len(keep))
    parts = []
    for start in range(0, len(directions), block):
        effect = directions[start : start + block].to(weight) @ weight.T
        effect -= effect.mean(dim=1, keepdim=True)
        top = effect.topk(n, dim=1)
        bottom = effect.topk(n, dim=1, largest=False)
        parts.append((keep[top.indices], top.values, keep[bottom.indices], bottom.values))
    top_tokens, top_values, bottom_tokens, bottom_values = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    return Promoted(top_tokens.int(), top_values, bottom_tokens.int(), bottom_values)
