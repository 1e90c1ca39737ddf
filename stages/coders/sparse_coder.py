"""The one canonical form of a sparse coder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Events(NamedTuple):
    """Where latents fire, in the order of the inputs."""

    rows: Tensor
    """[events] int64, which input; not decreasing."""
    latents: Tensor
    """[events] int64."""
    values: Tensor
    """[events] float32, all above 0."""


@dataclass(frozen=True, eq=False)
class SparseCoder:
    """A TopK sparse autoencoder: ``topk(relu((x - b_pre) W_encᵀ + b_enc))``, decoded by ``W_dec`` and ``b_dec``.

    Shapes: W_enc [latents, d_in], b_enc [latents], W_dec [latents, d_out], b_dec [d_out], b_pre [d_in].
    """

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    b_pre: Tensor
    k: int
    source: str
    """The folder it was read from, for messages."""
    identity: dict[str, Any]
    """Hashes of all that decides its activations."""

    @property
    def d_in(self) -> int:
        """Width of the activations it reads."""
        return self.W_enc.shape[1]

    @property
    def n_latents(self) -> int:
        """Number of latents."""
        return self.W_enc.shape[0]

    def to(self, device: torch.device) -> SparseCoder:
        """The same coder with its tensors on ``device``."""
        names = ("W_enc", "b_enc", "W_dec", "b_dec", "b_pre")
        moved = {name: getattr(self, name).to(device) for name in names}
        return SparseCoder(**moved, k=self.k, source=self.source, identity=self.identity)

    def top(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns values and latents, [inputs, k] each, of the largest activations of ``x`` [inputs, d_in].

        A value may be 0, when fewer than k latents are above it; such a latent is not active.
        """
        pre = torch.addmm(self.b_enc, x.to(self.W_enc.dtype) - self.b_pre, self.W_enc.T)
        values, latents = pre.topk(self.k, dim=1, sorted=False)
        return values.relu(), latents

    def encode(self, x: Tensor) -> Events:
        """Returns the active latents of ``x`` [inputs, d_in]: those whose activation is above 0."""
        values, latents = self.top(x)
        rows, columns = torch.nonzero(values > 0, as_tuple=True)
        return Events(rows, latents[rows, columns], values[rows, columns].float())

    def decode(self, values: Tensor, latents: Tensor) -> Tensor:
        """Returns the reconstruction, [inputs, d_out], of ``values`` at ``latents`` [inputs, k]."""
        return torch.einsum("nk,nkd->nd", values, self.W_dec[latents]) + self.b_dec
