"""Which versions of packages are installed."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def installed(package: str) -> str | None:
    """Returns the version of ``package`` that is installed, None if none is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
