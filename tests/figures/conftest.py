from __future__ import annotations

from tests.results.conftest import found, furnished

__all__ = ["found", "furnished"]
