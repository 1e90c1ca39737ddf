"""Imports that cost more than what they are for."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

HIDDEN = "pandas"


class _Hidden(MetaPathFinder):
    """Finds no pandas."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Raises ModuleNotFoundError for pandas, and leaves all else to others."""
        if fullname == HIDDEN:
            raise ModuleNotFoundError(f"No module named {HIDDEN!r}", name=HIDDEN)
        return None


def spare_pandas() -> None:
    """Has pyarrow take it that there is no pandas, whose import takes a quarter of the processor time of a stage that computes little.

    At its first conversion pyarrow imports pandas, if that is installed, only to ask whether what it is given is one of its objects
    (``pyarrow/pandas-shim.pxi``); nothing here is. It asks once. Whoever needs pandas afterwards, ``to_pandas`` included, imports it as ever.
    """
    import pyarrow as pa

    if HIDDEN in sys.modules:
        return
    finder = _Hidden()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
