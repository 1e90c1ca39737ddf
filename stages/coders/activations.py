"""What a sparse coder makes of its pre-activations: which latents are active, and how strongly.

A pre-activation that is NaN counts as active, so that whoever takes the events sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Events(NamedTuple):
    """Where latents fire, in the order of the inputs."""

    rows: Tensor
    """[events] int64, which input; not decreasing."""
    latents: Tensor
    """[events] int64."""
    values: Tensor
    """[events] the coder's dtype; above 0, or other than 0 if the coder is signed."""


@dataclass(frozen=True)
class Relu:
    """``relu(h)``."""

    signed = False

    def active(self, h: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """Returns which of ``h`` [inputs, latents from ``first`` on] are active, and the values of all."""
        return (h <= 0).logical_not_(), h


@dataclass(frozen=True, eq=False)
class JumpRelu:
    """``relu(h)`` where ``h > threshold``, strictly; also a BatchTopK coder after training, whose threshold is constant."""

    threshold: Tensor
    """[latents]."""
    signed = False

    def active(self, h: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """Returns which of ``h`` [inputs, latents from ``first`` on] are active, and the values of all."""
        return (h <= self.threshold[first : first + h.shape[1]].clamp(min=0)).logical_not_(), h


@dataclass(frozen=True, eq=False)
class Gated:
    """``relu(exp(r_mag) g + b_mag)`` where ``g + b_gate > 0``, ``g`` being the pre-activation without any bias."""

    r_mag: Tensor
    b_mag: Tensor
    b_gate: Tensor
    """[latents] each."""
    signed = False

    def active(self, h: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """Returns which of ``h`` [inputs, latents from ``first`` on] are active, and the values of all."""
        part = slice(first, first + h.shape[1])
        values = h * self.r_mag[part].exp() + self.b_mag[part]
        return ((h + self.b_gate[part] <= 0) | (values <= 0)).logical_not_(), values


@dataclass(frozen=True)
class TopK:
    """The ``k`` largest of ``h``, those above 0; all but exact zeros if ``signed``."""

    k: int
    signed: bool = False


@dataclass(frozen=True)
class GroupMax:
    """The largest of each of ``k`` equal, contiguous groups of latents, if it is above 0."""

    k: int
    signed = False


Elementwise = Relu | JumpRelu | Gated
Activation = Elementwise | TopK | GroupMax


def compact(mask: Tensor, values: Tensor, first: int) -> Events:
    """Returns the ``values`` [inputs, latents from ``first`` on] where ``mask`` is true."""
    flat = torch.nonzero(mask.reshape(-1)).squeeze(1)
    width = mask.shape[1]
    rows = torch.div(flat, width, rounding_mode="floor")
    return Events(rows, flat - rows * width + first, values.reshape(-1)[flat])


def join(parts: list[Events], by_row: bool) -> Events:
    """Returns events of several blocks as one; ``by_row`` sorts those of blocks of latents into the order of inputs."""
    if len(parts) == 1:
        return parts[0]
    rows, latents, values = (torch.cat(column) for column in zip(*parts, strict=True))
    if by_row:
        order = torch.argsort(rows, stable=True)
        rows, latents, values = rows[order], latents[order], values[order]
    return Events(rows, latents, values)
