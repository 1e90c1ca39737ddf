"""Formats that others read. One file each."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from stages import registry
from stages.params import Params


class Export(Protocol):
    """What every module of ``registry.EXPORTS`` offers."""

    def write(self, p: Params, folder: Path) -> str:
        """Writes everything into ``folder``, which is there and empty, and returns what it wrote, in a few words."""


def load(kind: str) -> Export:
    """Returns the export called ``kind``."""
    return cast(Export, registry.module(registry.EXPORTS, kind, "the format", "write"))
