"""Coders whose figures follow from how they are built, and what a check says of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from stages.coders.activations import Relu
from stages.coders.check import Check, Variant, measure
from stages.coders.sparse_coder import SparseCoder
from stages.subject.hookpoints import activations
from stages.subject.load import Subject
from tests.conftest import WIDTH

ROWS, LENGTH = 12, 20
NONE_SPECIAL = torch.zeros(400, dtype=torch.bool)


@cache
def written(subject: Subject) -> Tensor:
    """Rows that the subject wrote itself, so that it predicts them better than with zeros inside it; without token 0."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.arange(1, ROWS + 1).unsqueeze(1)
    while ids.shape[1] < LENGTH:
        likely = subject.model(input_ids=ids).logits[:, -1].softmax(1)
        ids = torch.cat([ids, torch.multinomial(likely[:, 1:], 1, generator=generator) + 1], 1)
    return ids


def check(
    subject: Subject, coder: SparseCoder, special: Tensor = NONE_SPECIAL, ids: Tensor | None = None, **more: Any
) -> Check:
    return measure(subject, coder, written(subject) if ids is None else ids, special, **more)


def at(subject: Subject, hookpoint: str, ids: Tensor | None = None) -> Tensor:
    """What a hookpoint gives, [tokens, width]."""
    read = activations(subject, [hookpoint], written(subject) if ids is None else ids)
    return read[hookpoint].flatten(0, 1).clone()


def affine(directions: Tensor, bias: Tensor, hookpoint: str, **more: Any) -> SparseCoder:
    """A ReLU coder that projects what it reads, less a bias that it puts back, on orthonormal ``directions`` [n, width]."""
    both = torch.cat([directions, -directions])
    return SparseCoder(
        W_enc=both,
        b_enc=torch.zeros(len(both)),
        W_dec=both,
        b_dec=bias,
        b_pre=bias,
        activation=Relu(),
        source="here",
        identity={"format": "test"},
        hookpoint=hookpoint,
        **more,
    )


def identity(hookpoint: str, **more: Any) -> SparseCoder:
    return affine(torch.eye(WIDTH), torch.zeros(WIDTH), hookpoint, **more)


def principal(x: Tensor, n: int) -> Tensor:
    """The ``n`` directions in which ``x`` [tokens, width] varies most, [n, width]."""
    return torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:n]


def fvu(y: Tensor, made: Tensor) -> float:
    y, made = y.double(), made.double()
    return float((y - made).pow(2).sum() / (y - y.mean(0)).pow(2).sum())


def better(found: Check) -> list[Variant]:
    return [variant for variant in found.variants if variant.better]


def variant(found: Check, start: str) -> Variant:
    (one,) = (variant for variant in found.variants if variant.what.startswith(start))
    return one
