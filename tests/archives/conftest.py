from __future__ import annotations

from tests.wiring.conftest import finished

__all__ = ["finished"]
