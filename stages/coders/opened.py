"""A coder of params.yaml on its subject, as stage ``cache`` has them."""

from __future__ import annotations

from dataclasses import replace

import torch

from stages import coders, plan
from stages.coders.sparse_coder import SparseCoder
from stages.machine import runtime
from stages.params import Params
from stages.subject import load
from stages.subject.load import Subject


def subject(p: Params, name: str) -> Subject:
    """Returns the subject of the coder ``name``, where runtime.yaml says; raises GlossaError if it can't be loaded."""
    settings = runtime.load()
    return load.load(plan.subject_of(p, name), p.seed, load.pick_device(settings.device), settings.device_map)


def coder(p: Params, name: str, on: Subject, *, decodes: bool = True) -> SparseCoder:
    """Returns the coder ``name`` beside its subject ``on``, in the type that ``cache.dtype`` names; without its decoder unless it ``decodes``.

    Raises:
        GlossaError: it can't be read or made, or nothing says where it reads the subject.
    """
    found = coders.from_params(name, p.coders[name], p.seed, on)
    if not decodes:
        found = replace(found, W_dec=None, W_skip=None, writes=())
    return found.to(on.device, getattr(torch, p.cache.dtype))
