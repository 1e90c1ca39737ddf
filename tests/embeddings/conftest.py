from __future__ import annotations

from tests.similarity.conftest import model_folder

__all__ = ["model_folder"]
