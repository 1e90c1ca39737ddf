"""docs/gpu-workstation.md from the server on, in a small project."""

from __future__ import annotations

import re

import pytest

from tests.docs.places import Terminal
from tests.docs.steps import WORKSTATION


@pytest.mark.parametrize("page", WORKSTATION)
def test_typed(project: Terminal, page: str) -> None:
    listed = project.repository.run("glossa", "rate", "resid2", "--into", "none.jsonl", "--n", "1", "--sheet")
    latent = re.search(r"latent (\d+)", listed)
    assert latent
    project.given = {"LATENT": latent[1]}
    project.type_all(WORKSTATION[page])
