"""What latents write to several places: decoders that stay in their file until they are asked for.

A layer of a cross-layer transcoder writes to its own MLP and to those of all later layers, a crosscoder to every place that it
reads. Such decoders are many times as large as the encoder, and only what acts on the subject, or on what latents promote, reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from stages.errors import GlossaError


@dataclass(frozen=True, eq=False)
class Write:
    """What latents write to one place."""

    hookpoint: str
    file: Path
    """A safetensors file."""
    tensor: str
    """Its name there; three axes: the places, the latents and the width, or the latents first."""
    index: int
    """Of the place."""
    axis: Literal[0, 1]
    """On which the places are."""
    scale: float = 1.0
    units: Tensor | None = None
    """[latents] float32, what a latent's vector is divided by, where its activations are in other units than the file's."""

    def matrix(self) -> Tensor:
        """Returns the vectors of all latents, [latents, width] float32.

        Raises:
            GlossaError: the file has changed, or holds NaN or infinity there.
        """
        return self._read(slice(None))

    def rows(self, latents: Sequence[int]) -> Tensor:
        """Returns the vectors of some latents, [len(latents), width] float32; raises GlossaError as ``matrix``."""
        return torch.stack([self._read(slice(latent, latent + 1))[0] for latent in latents])

    @property
    def facts(self) -> dict[str, Any]:
        """What tells it from others, beside the content of its file."""
        return {
            "hookpoint": self.hookpoint,
            "tensor": self.tensor,
            "index": self.index,
            "scale": self.scale,
            "in_other_units": self.units is not None,
        }

    def _read(self, latents: slice) -> Tensor:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.file, framework="pt") as file:
                part = file.get_slice(self.tensor)
                found = part[self.index, latents] if self.axis == 0 else part[latents, self.index]
        except (SafetensorError, OSError, IndexError) as error:
            raise GlossaError(
                f"expected what latents write to {self.hookpoint} in {self.file}, but it can't be read ({error}); fetch the coder again"
            ) from None
        found = found.float() * self.scale
        if not torch.isfinite(found).all():
            raise GlossaError(
                f"expected finite weights in {self.file}, but {self.tensor} holds NaN or infinity; fetch the coder again"
            )
        return found if self.units is None else found / self.units[latents, None]


def shape_of(file: Path, tensor: str) -> tuple[int, ...] | None:
    """Returns the shape of a tensor without reading it; None if the file has none of that name or can't be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            return tuple(opened.get_slice(tensor).get_shape())
    except (SafetensorError, OSError):
        return None
