"""Hookpoints: module paths relative to the base model, and the forward pass that reads them and stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stages.errors import GlossaError, nearest
from stages.subject.load import Subject


class _Reached(Exception):  # noqa: N818 - control flow, not an error
    """Every hookpoint has been read; the rest of the forward pass is not needed."""


def find(subject: Subject, hookpoint: str) -> nn.Module:
    """Returns the module whose output is read at ``hookpoint``, e.g. ``layers.2`` or ``layers.2.mlp``.

    Raises:
        GlossaError: the subject has no such module; the message lists the nearest.
    """
    modules = dict(subject.base.named_modules())
    modules.pop("", None)
    if hookpoint not in modules:
        raise GlossaError(f"the subject {subject.name} has no hookpoint {hookpoint}; {nearest(hookpoint, modules)}")
    return modules[hookpoint]


def activations(subject: Subject, hookpoints: Sequence[str], ids: Tensor) -> dict[str, Tensor]:
    """Runs ``ids`` [rows, length] through the subject as far as the last hookpoint.

    Returns the output of every hookpoint, [rows, length, width], the first element where a module returns a tuple.

    Raises:
        GlossaError: the forward pass never calls one of these modules, such as a list of layers.
    """
    wanted = {hookpoint: find(subject, hookpoint) for hookpoint in dict.fromkeys(hookpoints)}
    read: dict[str, Tensor] = {}

    def reader(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            read[name] = output[0] if isinstance(output, tuple) else output
            if len(read) == len(wanted):
                raise _Reached

        return hook

    handles = [module.register_forward_hook(reader(name)) for name, module in wanted.items()]
    try:
        with torch.inference_mode():
            subject.base(input_ids=ids.to(subject.device), use_cache=False)
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if silent := [name for name in wanted if name not in read]:
        raise GlossaError(
            f"the forward pass of the subject {subject.name} never reads {silent[0]}; hook a module inside it"
        )
    return read
