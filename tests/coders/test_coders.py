from __future__ import annotations

from pathlib import Path

import pytest

from stages import coders
from stages.errors import GlossaError


def test_the_format_is_detected(coder_folder: Path) -> None:
    coder = coders.load(str(coder_folder))
    assert (coder.n_latents, coder.d_in, coder.identity["format"]) == (24, 16, "sparsify")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (None, "a coder's path should be a folder, but there is none at "),
        ([], r"expected a sparse coder in .* \(sparsify.*\), found nothing"),
        (["sae.safetensors"], r"expected a sparse coder in .* \(sparsify.*\), found sae.safetensors"),
        (["b", "a"], r"expected a sparse coder in .* \(sparsify.*\), found a, b"),
    ],
)
def test_a_folder_that_holds_no_coder_is_a_mistake(tmp_path: Path, files: list[str] | None, expected: str) -> None:
    folder = tmp_path / "coder"
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).write_bytes(b"")
    with pytest.raises(GlossaError, match=expected):
        coders.load(str(folder))
