"""Progress bars on standard error, shown only when a loop takes longer than a second or two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

SHOW_AFTER_SECONDS = 1.5


def bar(description: str, total: int | None = None, unit: str = "it", iterable: Iterable[Any] | None = None) -> tqdm:
    """A progress bar; use it as an iterator over ``iterable`` or as a context manager with ``update``."""
    return tqdm(
        iterable,
        desc=description,
        total=total,
        unit=f" {unit}",
        unit_scale=unit == "token",
        delay=SHOW_AFTER_SECONDS,
        mininterval=0.5,
        leave=False,
        dynamic_ncols=True,
    )
