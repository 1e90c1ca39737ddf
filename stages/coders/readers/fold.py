"""Giving a coder's latents another unit without changing what it reconstructs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stages.errors import GlossaError


def unit_decoder(W_enc: Tensor, b_enc: Tensor, W_dec: Tensor, where: Path) -> tuple[Tensor, Tensor, Tensor]:  # noqa: N803
    """Rescales every latent so that its row of ``W_dec`` [latents, d_out] has the norm 1.

    Returns W_enc, b_enc, W_dec. A latent whose decoder row is 0 never fires any more.

    Raises:
        GlossaError: a norm is beyond float32, so the weights read from ``where`` are damaged.
    """
    norms = W_dec.norm(dim=1)
    if not torch.isfinite(norms).all():
        raise GlossaError(f"expected decoder rows of finite norm in {where}, found one that overflows; fetch it again")
    W_dec = W_dec / norms.clamp(min=torch.finfo(norms.dtype).tiny)[:, None]  # noqa: N806
    return W_enc * norms[:, None], b_enc * norms, W_dec
