"""LayerNorm and RMSNorm: which modules are one, and what it computes before its gain and bias."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def epsilon(module: Any) -> float | None:
    """Returns what a norm adds to the variance, None for other modules."""
    if isinstance(module, nn.LayerNorm) or "RMSNorm" in type(module).__name__:
        return getattr(module, "eps", getattr(module, "variance_epsilon", None))
    return None


def normalized(norm: nn.Module, x: Tensor) -> Tensor:
    """Returns ``x`` [..., width] as ``norm`` computes it before its gain and bias, in the type of ``x``."""
    added = epsilon(norm)
    assert added is not None
    if isinstance(norm, nn.LayerNorm):
        return functional.layer_norm(x, norm.normalized_shape, eps=added)
    h = x.float()
    return (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + added)).type_as(x)
