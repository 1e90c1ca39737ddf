"""Formats that others read. One file each."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Protocol, cast

from stages import registry
from stages.errors import GlossaError
from stages.params import Params


class Export(Protocol):
    """What every module of ``registry.EXPORTS`` offers."""

    def write(self, p: Params, folder: Path, **options: str) -> str:
        """Writes everything into ``folder``, which is there and empty, and returns what it wrote, in a few words."""


def load(kind: str) -> Export:
    """Returns the export called ``kind``."""
    return cast(Export, registry.module(registry.EXPORTS, kind, "the format", "write"))


def write(kind: str, p: Params, folder: Path, **options: str | None) -> str:
    """Writes the format ``kind`` with those ``options`` that are given.

    Raises:
        GlossaError: the format has no such option, or can't be written.
    """
    unit = load(kind)
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() - signature(unit.write).parameters.keys():
        takers = [one for one in registry.EXPORTS if name in signature(load(one).write).parameters]
        raise GlossaError(
            f"--{name.replace('_', '-')} is an option of {' and '.join(takers)}, not of {kind}; leave it out"
        )
    return unit.write(p, folder, **given)
